import pytest

from endoscope_memory.profilers.jemalloc import JemallocProfiler
from endoscope_memory.settings import MemorySettings

AVAILABILITY = """
import json
from dataclasses import asdict
from endoscope_memory.profilers.jemalloc import JemallocProfiler
from endoscope_memory.settings import MemorySettings
print(json.dumps(asdict(JemallocProfiler(MemorySettings()).availability)))
"""
WITHOUT_PROF = """
#include <string.h>
int mallctl(const char *name, void *old, void *size, void *new, unsigned long new_size) {
    if (!strcmp(name, "version")) { *(const char **)old = "5.2.1-0-gabc"; return 0; }
    if (!strcmp(name, "config.prof")) { *(_Bool *)old = 0; return 0; }
    return 2;
}
"""
WITH_PREFIX = """
#include <string.h>
int _rjem_mallctl(const char *name, void *old, void *size, void *new, unsigned long new_size) {
    if (!strcmp(name, "version")) { *(const char **)old = "5.3.0-0-gabc"; return 0; }
    if (!strcmp(name, "config.prof")) { *(_Bool *)old = 1; return 0; }
    if (!strcmp(name, "opt.prof")) { *(_Bool *)old = 0; return 0; }
    return 2;
}
"""


def test_a_right_start_has_no_obstacle_and_no_caveat(under_jemalloc):
    found = under_jemalloc(AVAILABILITY).answer
    assert (found["obstacles"], found["caveats"]) == ([], [])
    assert any("4096" in fact for fact in found["facts"])


@pytest.mark.parametrize(
    ("environment", "message", "remedy"),
    [
        ({"LD_PRELOAD": None}, "jemalloc is not loaded", "endoscope run"),
        ({"LD_PRELOAD": None}, "jemalloc is not loaded", "jemalloc2"),
        ({"LD_PRELOAD": "/no/libjemalloc.so.2"}, "LD_PRELOAD=/no/libjem", "endoscope run"),
        ({"MALLOC_CONF": None}, "MALLOC_CONF was not set", "MALLOC_CONF=prof:true"),
        ({"MALLOC_CONF": "prof:false"}, "says prof:false", "MALLOC_CONF=prof:true"),
        ({"MALLOC_CONF": "prof:true lg_prof_sample:12"}, "there is a blank", "MALLOC_CONF=prof"),
        ({"MALLOC_CONF": "prof"}, "name:value", "MALLOC_CONF=prof:true"),
        ({"MALLOC_CONF": "prof:treu"}, "MALLOC_CONF=prof:treu did not", "MALLOC_CONF=prof:true"),
        ({"MALLOC_CONF": "porf:true"}, "MALLOC_CONF=porf:true did not", "MALLOC_CONF=prof:true"),
        (
            {"MALLOC_CONF": None, "_RJEM_MALLOC_CONF": "prof:true"},
            "it reads MALLOC_CONF, not _RJEM_MALLOC_CONF",
            "MALLOC_CONF=prof:true",
        ),
    ],
)
def test_a_wrong_start_shows_itself(under_jemalloc, environment, message, remedy):
    (obstacle,) = under_jemalloc(AVAILABILITY, **environment).answer["obstacles"]
    assert message in obstacle["message"]
    assert remedy in obstacle["remedy"]


def test_a_wrong_start_shows_itself_though_the_variables_are_gone(under_jemalloc):
    snippet = f"import os\ndel os.environ['MALLOC_CONF']\n{AVAILABILITY}"
    (obstacle,) = under_jemalloc(snippet, MALLOC_CONF="prof:treu").answer["obstacles"]
    assert "prof:treu" in obstacle["message"]


def test_a_build_without_profiling_is_an_obstacle(plain, compiled):
    library = compiled("libjemalloc.so.2", WITHOUT_PROF)
    (obstacle,) = plain(AVAILABILITY, LD_PRELOAD=str(library)).answer["obstacles"]
    assert "5.2.1" in obstacle["message"]
    assert str(library) in obstacle["message"]
    assert "--enable-prof" in obstacle["remedy"]


def test_a_build_with_a_prefix_reads_its_own_variable(plain, compiled):
    library = compiled("librouter.so", WITH_PREFIX)
    environment = {"LD_PRELOAD": str(library), "MALLOC_CONF": "prof:true"}
    (obstacle,) = plain(AVAILABILITY, **environment).answer["obstacles"]
    assert "it reads _RJEM_MALLOC_CONF, not MALLOC_CONF" in obstacle["message"]
    assert "_RJEM_MALLOC_CONF=prof:true" in obstacle["remedy"]


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        ((), {}, "PYTHONMALLOC is not set"),
        ((), {"PYTHONMALLOC": "pymalloc"}, "PYTHONMALLOC is pymalloc"),
        (("-E",), {"PYTHONMALLOC": "malloc"}, "-E or -I"),
        (("-I",), {"PYTHONMALLOC": "malloc"}, "-E or -I"),
    ],
)
def test_without_the_native_part_small_objects_and_python_stacks_are_missing(
    under_jemalloc, without_native, options, environment, message
):
    snippet = without_native + AVAILABILITY
    found = under_jemalloc(snippet, options=options, **environment).answer
    assert found["obstacles"] == []
    stacks, small = found["caveats"]
    assert "C functions only: The native part of endoscope-memory is missing" in stacks["message"]
    assert "gcc python3-dev" in stacks["remedy"]
    assert message in small["message"]
    assert small["remedy"]


def test_a_mistake_in_the_options_is_a_caveat(under_jemalloc):
    environment = {"MALLOC_CONF": "prof:true, lg_prof_sample:12"}
    (caveat,) = under_jemalloc(AVAILABILITY, **environment).answer["caveats"]
    assert "there is a blank" in caveat["message"]
    assert caveat["remedy"]


def test_another_allocator_in_front_is_a_caveat(under_jemalloc, libjemalloc, compiled):
    other = compiled(
        "libother.so",
        "extern void *__libc_malloc(unsigned long);"
        "void *malloc(unsigned long size) { return __libc_malloc(size); }"
        "extern void __libc_free(void *); void free(void *block) { __libc_free(block); }"
        "extern void *__libc_realloc(void *, unsigned long);"
        "void *realloc(void *block, unsigned long size) { return __libc_realloc(block, size); }"
        "extern void *__libc_calloc(unsigned long, unsigned long);"
        "void *calloc(unsigned long n, unsigned long size) { return __libc_calloc(n, size); }"
        "extern void *__libc_memalign(unsigned long, unsigned long);"
        "int posix_memalign(void **to, unsigned long at, unsigned long size)"
        "{ *to = __libc_memalign(at, size); return *to ? 0 : 12; }"
        "void *aligned_alloc(unsigned long at, unsigned long size)"
        "{ return __libc_memalign(at, size); }",
    )
    preload = f"{other}:{libjemalloc}"
    (caveat,) = under_jemalloc(AVAILABILITY, LD_PRELOAD=preload).answer["caveats"]
    assert "another library's" in caveat["message"]


@pytest.mark.parametrize(("wanted", "caveats"), [(None, 0), (4096, 0), (8192, 1)])
def test_an_interval_other_than_the_wanted_one_is_a_caveat(under_jemalloc, wanted, caveats):
    given = f"sample_interval_bytes={wanted}" if wanted else ""
    snippet = AVAILABILITY.replace("MemorySettings()", f"MemorySettings({given})")
    assert len(under_jemalloc(snippet).answer["caveats"]) == caveats


def test_another_platform_is_an_obstacle(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    profiler = JemallocProfiler(MemorySettings())
    (obstacle,) = profiler.availability.obstacles
    assert "not supported on this platform (darwin)" in obstacle.message
    assert "memory.profiler: auto" in obstacle.remedy
    assert (profiler.active, profiler.sample_interval_bytes, profiler.allocator()) == (
        False,
        None,
        None,
    )


# --- together with the sampler ----------------------------------------------------------------

PROFILED = """
import ctypes, json, sys
from pathlib import Path
from endoscope import RequestError
from endoscope_memory import native
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.profilers.jemalloc import JemallocProfiler
from endoscope_memory.settings import MemorySettings
from endoscope_memory.wish import Wish
from endoscope_profiles import jemalloc_heap

folder = DumpFolder(Path(sys.argv[1]))
profiler = JemallocProfiler(MemorySettings(overhead_budget_percent=0, stacks=sys.argv[2]))

def leak_small():
    return [(number, str(number)) for number in range(50000)]

def leak_large():
    return [bytearray(8100) for _ in range(600)]

def profile():
    with folder.draft() as draft, folder.draft() as scratch:
        profiler.dump(draft, scratch, {"service": "shop"})
        return jemalloc_heap.parse(draft.path.read_bytes())

def live(profile):
    kinds = {}
    for name in ("leak_small", "leak_large"):
        mine = [s for s in profile.samples if any(f.function.startswith(name) for f in s.stack)]
        kinds[name] = round(sum(sample.bytes for sample in mine) / 1000)
    return kinds

def size_of(block):
    # Bytes that were asked for, or that jemalloc made of them if it served them.
    size = sys.getsizeof(block)
    in_malloc = sys.getallocatedblocks() == 0
    return ctypes.CDLL(None).nallocx(ctypes.c_size_t(size), 0) if in_malloc else size

def answer(*values):
    print(json.dumps(values))
"""


@pytest.fixture
def profiled(under_jemalloc, folder):
    def run(snippet, stacks="python", **environment):
        return under_jemalloc(PROFILED + snippet, folder, stacks, **environment).answer

    return run


BOTH = """
profiler.start(Wish())
kept = [leak_small(), leak_large()]
held = live(profile())
sizes = [size_of(block) for block in (kept[0][-1], *kept[0][-1])]
kept.clear()
answer(held, live(profile()), native.part.sampler_facts()["attached"], sum(sizes))"""


@pytest.mark.parametrize(
    ("environment", "stacks", "sampled"),
    [
        ({}, "python", True),
        ({}, "mixed", True),
        ({"PYTHONMALLOC": "malloc"}, "python", False),
        ({"PYTHONMALLOC": "malloc"}, "mixed", False),
        ({"PYTHONMALLOC": "debug"}, "python", True),
    ],
)
def test_small_and_large_blocks_are_each_seen_once(profiled, environment, stacks, sampled):
    held, freed, attached, each = profiled(BOTH, stacks, **environment)
    assert held["leak_small"] == pytest.approx(50000 * each / 1000 + 400, rel=0.12)
    assert held["leak_large"] == pytest.approx(600 * 8192 / 1000, rel=0.12)
    assert freed["leak_small"] < 300  # Python keeps some tuples for later
    assert freed["leak_large"] < 50
    assert attached is sampled


def test_another_interval_takes_the_permission_to_discard(profiled):
    refused, held, interval, after, again = profiled("""
profiler.start(Wish())
kept = [leak_small(), leak_large()]
try:
    profiler.start(Wish(sample_interval_bytes=65536))
except RequestError as error:
    refused = [error.status, error.code]
profiler.start(Wish(sample_interval_bytes=4000))
held = live(profile())
profiler.start(Wish(sample_interval_bytes=65536, discard=True))
after = live(profile())
more = [leak_small(), leak_large(), leak_large(), leak_large(), leak_large()]
found = profile()
intervals = [profiler.sample_interval_bytes, found.interval_bytes]
answer(refused, held, intervals, after, live(found))""")
    assert refused == [409, "interval_is_fixed"]
    assert min(held.values()) > 1000
    assert interval == [65536, 65536]
    assert after == {"leak_small": 0, "leak_large": 0}
    assert again["leak_small"] == pytest.approx(7300, rel=0.5)
    assert again["leak_large"] == pytest.approx(4 * 4915, rel=0.3)


def test_a_stop_stops_both_and_keeps_what_there_is(profiled):
    first, second, third = profiled("""
profiler.start(Wish())
kept = [leak_small(), leak_large()]
profiler.stop()
first = live(profile())
more = [leak_small(), leak_large()]
second = live(profile())
kept.clear()
answer(first, second, live(profile()))""")
    assert min(first.values()) > 1000
    assert second == first
    assert third["leak_small"] < 300  # Python keeps some tuples for later
    assert third["leak_large"] < 5  # and now and then the sampled list itself


def test_the_facts_of_a_dump(profiled):
    facts, interval = profiled("""
profiler.start(Wish())
found = profile()
answer(dict(found.facts), found.interval_bytes)""")
    assert facts["service"] == "shop"
    assert facts["stacks"] == "python"
    assert int(facts["allocated_bytes"]) > 1_000_000
    assert (facts["coarsest_interval_bytes"], interval) == ("4096", 4096)


def test_threads_without_python_are_named_so(profiled, compiled):
    library = compiled(
        "libworker.so",
        "#include <pthread.h>\n#include <stdlib.h>\n"
        "static void *kept[1000];"
        "static void *work(void *_) {"
        "    for (int i = 0; i < 1000; i++) kept[i] = malloc(8192); return _; }"
        "void start(void) { pthread_t t; pthread_create(&t, 0, work, 0); pthread_join(t, 0); }",
    )
    (held,) = profiled(f"""
import ctypes
profiler.start(Wish())
ctypes.CDLL({str(library)!r}).start()
answer(sum(s.bytes for s in profile().samples if s.stack[0].function == "[no Python]"))""")
    assert held == pytest.approx(8_192_000, rel=0.15)


def test_own_frames_are_left_out_of_mixed_stacks(profiled):
    (files,) = profiled(
        """
profiler.start(Wish())
kept = [leak_small(), leak_large()]
answer(sorted({frame.file for s in profile().samples for frame in s.stack}))""",
        "mixed",
    )
    assert not [file for file in files if "_native" in file]
    assert not [file for file in files if "jemalloc" in file and "endoscope" not in file]


def test_under_greenlets_c_stacks_are_not_unwound(profiled):
    pytest.importorskip("greenlet")
    before, caveats, frames, functions = profiled(
        """
before = profiler.coverage.sees
import greenlet
profiler.start(Wish())
kept = [leak_large()]
answer(before, [each.message for each in profiler.availability.caveats],
       profiler.coverage.python_frames, [s.stack[0].function for s in profile().samples[:1]])""",
        "mixed",
    )
    assert before.endswith("by mixed stack")
    assert "uses greenlets" in caveats[0]
    assert frames is True
    assert functions[0].startswith("leak_large")


def test_under_greenlets_without_the_native_part_it_is_not_available(
    under_jemalloc, folder, without_native
):
    pytest.importorskip("greenlet")
    snippet = "import greenlet\nanswer(profiler.availability.obstacles[0].message)"
    found = under_jemalloc(without_native + PROFILED + snippet, folder, "python").answer
    assert "Only C stacks could be recorded" in found[0]
