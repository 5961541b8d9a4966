import pytest

from endoscope import Problem
from endoscope_memory import profiler
from endoscope_memory.availability import Availability, Reason
from endoscope_memory.settings import MemorySettings

AVAILABILITY = Availability((Reason("no", "do"),), (Reason("less", "improve"),), ("well",))


@pytest.mark.parametrize(("named", "severity"), [("auto", "warning"), ("jemalloc", "error")])
def test_an_obstacle_refuses_the_start_only_for_a_named_profiler(named, severity):
    assert profiler.problems(AVAILABILITY, MemorySettings(profiler=named)) == (
        Problem(severity, "no", "do"),
        Problem("warning", "less", "improve"),
        Problem("info", "well"),
    )


@pytest.mark.parametrize("named", ["auto", "jemalloc"])
def test_without_any_profiler_the_first_says_why(named):
    chosen = profiler.choose(MemorySettings(profiler=named))
    assert chosen.name == "jemalloc"
    assert not chosen.availability.available


def test_only_an_interval_that_was_asked_for_is_compared(under_jemalloc):
    snippet = """
import json
from endoscope_memory import profiler
from endoscope_memory.settings import MemorySettings
every = [{}, {"sample_interval_bytes": 4100}, {"sample_interval_bytes": 8192}]
found = [profiler.choose(MemorySettings(**each)).availability for each in every]
print(json.dumps([len(each.caveats) for each in found]))"""
    assert under_jemalloc(snippet).answer == [0, 0, 1]
