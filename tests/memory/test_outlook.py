import os

import pytest

from endoscope_memory.dumps import DumpFolder
from endoscope_memory.outlook import jemalloc_outlook, outlook
from endoscope_memory.settings import MemorySettings


def test_a_good_outlook_says_where_and_which(libjemalloc):
    found = jemalloc_outlook(MemorySettings(), os.environ)
    assert (found.obstacles, found.caveats) == ((), ())
    where, which, interval, uses = found.facts
    assert str(libjemalloc) in where
    assert "jemalloc 5." in which
    assert "524288" in interval
    assert "jemalloc sees everything" in uses
    assert "it costs about 2%" in uses


def test_the_environment_it_would_start_from_counts(libjemalloc):
    environment = {**os.environ, "MALLOC_CONF": "prof:false", "PYTHONMALLOC": "pymalloc"}
    (obstacle,) = jemalloc_outlook(MemorySettings(), environment).obstacles
    assert "says prof:false" in obstacle.message


def test_a_wrong_path_is_named(tmp_path):
    settings = MemorySettings(jemalloc_path=tmp_path / "libjemalloc.so.2")
    (obstacle,) = jemalloc_outlook(settings, os.environ).obstacles
    assert str(tmp_path) in obstacle.message


def test_a_library_that_is_no_jemalloc_is_seen(compiled):
    library = compiled("libother.so", "int nothing;")
    (obstacle,) = jemalloc_outlook(MemorySettings(jemalloc_path=library), os.environ).obstacles
    assert "jemalloc is not loaded" in obstacle.message


def test_a_library_that_keeps_python_from_starting_is_seen(compiled):
    source = "#include <unistd.h>\n__attribute__((constructor)) void f(void) { _exit(7); }"
    library = compiled("libjemalloc.so.2", source)
    (obstacle,) = jemalloc_outlook(MemorySettings(jemalloc_path=library), os.environ).obstacles
    assert "exit status 7" in obstacle.message


def test_a_library_that_hangs_python_costs_only_the_time_limit(compiled, monkeypatch):
    source = "#include <unistd.h>\n__attribute__((constructor)) void f(void) { sleep(60); }"
    library = compiled("libjemalloc.so.2", source)
    monkeypatch.setattr("endoscope_memory.outlook._TIME_LIMIT_SECONDS", 0.3)
    (obstacle,) = jemalloc_outlook(MemorySettings(jemalloc_path=library), os.environ).obstacles
    assert "did not answer within" in obstacle.message


def test_another_platform_is_said_without_looking(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    (obstacle,) = jemalloc_outlook(MemorySettings(), {}).obstacles
    assert "darwin" in obstacle.message


def test_without_jemalloc_auto_looks_forward_to_the_sampler(folder, tmp_path):
    settings = MemorySettings(jemalloc_path=tmp_path / "none.so")
    found = outlook(settings, DumpFolder(folder), os.environ)
    assert found.available
    (caveat,) = found.caveats
    assert str(tmp_path) in caveat.message
    assert "sampler sees what Python allocates" in found.facts[-1]


@pytest.mark.parametrize("named", ["sampler", "tracemalloc"])
def test_a_named_profiler_is_looked_at_where_it_stands(folder, named):
    found = outlook(MemorySettings(profiler=named), DumpFolder(folder), os.environ)
    assert (found.obstacles, found.caveats) == ((), ())
    assert found.facts[-1].startswith(f"{named} sees ")
