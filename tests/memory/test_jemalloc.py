import pytest

from endoscope_memory import jemalloc

# A library with the face of a jemalloc that was built in another way.
OTHER_BUILD = """
#include <errno.h>
#include <stddef.h>
#include <string.h>
int PREFIXmallctl(const char *name, void *old, size_t *size, void *new, size_t new_size) {
    if (!strcmp(name, "version")) { *(const char **)old = "5.2.1-0-gabc"; return 0; }
    if (!strcmp(name, "config.prof")) { *(_Bool *)old = 0; return 0; }
    if (!strcmp(name, "opt.prof")) { *(_Bool *)old = 0; return 0; }
    if (!strcmp(name, "thread.allocated")) { *(unsigned long *)old = 0; return 0; }
    return ENOENT;
}
"""


DESCRIBE = """
import json
from endoscope_memory import jemalloc
found = jemalloc.loaded()
print(json.dumps(found and {
    "prefix": found.prefix, "library": found.library, "serves_malloc": found.serves_malloc,
    "version": found.version, "built": found.built_for_profiling,
    "enabled": found.profiling_enabled, "active": found.active,
    "interval": found.profiling_enabled and found.sample_interval_bytes,
    "statistics": found.statistics() is not None}))
"""


def test_no_jemalloc_is_none(plain):
    assert plain(DESCRIBE).answer is None


def test_another_platform_has_none(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert jemalloc.loaded() is None


def test_a_preloaded_one_describes_itself(under_jemalloc, libjemalloc):
    found = under_jemalloc(DESCRIBE).answer
    assert found.pop("library") == str(libjemalloc.resolve())
    assert found.pop("version")[:2] == "5."
    assert found == {
        "prefix": "",
        "serves_malloc": True,
        "built": True,
        "enabled": True,
        "active": False,
        "interval": 4096,
        "statistics": True,
    }


@pytest.mark.parametrize("prefix", ["", "_rjem_"])
def test_one_built_without_profiling_and_not_in_the_place_of_malloc(plain, compiled, prefix):
    library = compiled("libjemalloc.so.2", OTHER_BUILD.replace("PREFIX", prefix))
    assert plain(DESCRIBE, LD_PRELOAD=str(library)).answer == {
        "prefix": prefix,
        "library": str(library),
        "serves_malloc": False,
        "version": "5.2.1",
        "built": False,
        "enabled": False,
        "active": False,
        "interval": False,
        "statistics": False,
    }


def test_sampling_starts_and_stops_and_keeps_what_was_sampled(under_jemalloc, tmp_path):
    snippet = """
import json, re, sys
from pathlib import Path
from endoscope_memory import jemalloc
found, path, seen = jemalloc.loaded(), Path(sys.argv[1]), []
def look():
    found.dump(path)
    objects = int(re.search(r"t\\*: (\\d+):", path.read_text())[1])
    seen.append([found.active, objects > 0])
look()
found.set_active(True)
kept = [bytearray(3000) for _ in range(500)]
look()
found.set_active(False)
look()
print(json.dumps(seen))"""
    answer = under_jemalloc(snippet, tmp_path / "x.prof").answer
    assert answer == [[False, False], [True, True], [False, True]]


def test_statistics_are_those_of_the_moment(under_jemalloc):
    snippet = """
import json
from dataclasses import asdict
from endoscope_memory import jemalloc
found = jemalloc.loaded()
before = found.statistics()
kept = bytearray(64 << 20)
after = found.statistics()
print(json.dumps([asdict(before), asdict(after)]))"""
    before, after = under_jemalloc(snippet).answer
    assert 64 << 20 <= after["allocated"] - before["allocated"] <= 81 << 20  # its size class
    assert after["allocated"] <= after["active"] <= after["resident"]
    assert all(figure >= 0 for figure in after.values())


@pytest.mark.parametrize(
    ("call", "conf", "number"),
    [
        ("set_active(True)", "prof:false", 2),
        ("dump(Path('/tmp/x.prof'))", "prof:false", 2),
        ("dump(Path('/nonexistent/x.prof'))", "prof:true", 14),
    ],
)
def test_a_refused_call_is_an_os_error(under_jemalloc, call, conf, number):
    snippet = f"""
from pathlib import Path
from endoscope_memory import jemalloc
try:
    jemalloc.loaded().{call}
except OSError as error:
    print(error.errno)"""
    assert under_jemalloc(snippet, MALLOC_CONF=conf).answer == number
