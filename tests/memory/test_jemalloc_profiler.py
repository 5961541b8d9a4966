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
