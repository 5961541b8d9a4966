import pytest

from endoscope import Problem
from endoscope_memory import profiler
from endoscope_memory.availability import Availability, Reason
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.settings import MemorySettings

AVAILABILITY = Availability((Reason("no", "do"),), (Reason("less", "improve"),), ("well",))


@pytest.mark.parametrize(("named", "severity"), [("auto", "warning"), ("jemalloc", "error")])
def test_an_obstacle_refuses_the_start_only_for_a_named_profiler(named, severity):
    assert profiler.problems(AVAILABILITY, MemorySettings(profiler=named)) == (
        Problem(severity, "no", "do"),
        Problem("warning", "less", "improve"),
        Problem("info", "well"),
    )


@pytest.mark.parametrize("named", ["jemalloc", "sampler", "tracemalloc", "memray"])
def test_a_named_profiler_is_used_whether_it_works_or_not(folder, named):
    choice = profiler.choose(MemorySettings(profiler=named), DumpFolder(folder))
    assert (choice.profiler.name, choice.lacks) == (named, ())


def test_auto_goes_on_with_the_sampler_and_says_how_to_get_jemalloc(folder):
    choice = profiler.choose(MemorySettings(), DumpFolder(folder))
    assert choice.profiler.name == "sampler"
    assert choice.availability.available
    (lack,) = choice.availability.caveats
    assert "nothing that C code takes from malloc" in lack.message
    assert "jemalloc is not loaded" in lack.message
    assert "endoscope run" in lack.remedy


CHOOSE = """
import json
from pathlib import Path
from endoscope_memory import profiler
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.settings import MemorySettings
def choose(**settings):
    return profiler.choose(MemorySettings(**settings), DumpFolder(Path()))
"""


def test_auto_takes_jemalloc_where_it_is_loaded(under_jemalloc):
    snippet = CHOOSE + "print(json.dumps([choose().profiler.name, choose().lacks]))"
    assert under_jemalloc(snippet).answer == ["jemalloc", []]


def test_without_any_profiler_the_first_says_why(plain, without_native):
    answer = plain(
        without_native
        + CHOOSE
        + "found = choose()\n"
        + "print(json.dumps([found.profiler.name, found.availability.obstacles[0].message]))"
    ).answer
    assert answer[0] == "jemalloc"
    assert "jemalloc is not loaded" in answer[1]


def test_only_an_interval_that_was_asked_for_is_compared(under_jemalloc):
    snippet = (
        CHOOSE
        + """
every = [{}, {"sample_interval_bytes": 4100}, {"sample_interval_bytes": 8192}]
print(json.dumps([len(choose(**each).availability.caveats) for each in every]))"""
    )
    assert under_jemalloc(snippet).answer == [0, 0, 1]
