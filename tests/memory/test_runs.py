import os

import pytest

from endoscope_memory import runs
from endoscope_memory.runs import Run


@pytest.fixture(autouse=True)
def _none_before(monkeypatch):
    monkeypatch.setattr(runs, "_runs", {})


def in_child(check):
    if (child := os.fork()) == 0:
        os._exit(0 if check() else 1)
    return os.waitpid(child, 0)[1] == 0


def test_what_was_switched_in_this_process_is_not_inherited():
    assert runs.inherited("sampler") == Run()
    runs.remember("sampler", Run(5.0, 3.0))
    assert runs.inherited("sampler") == Run()


def test_a_child_inherits_it_by_profiler_and_so_does_its_child():
    runs.remember("sampler", Run(5.0, 3.0))

    def inherited():
        return runs.inherited("sampler") == Run(5.0, 3.0) and runs.inherited("jemalloc") == Run()

    assert in_child(inherited)
    assert in_child(lambda: in_child(inherited))


def test_what_a_child_switches_is_its_own_and_its_children_s():
    runs.remember("sampler", Run(5.0, 3.0))

    def switch():
        runs.remember("sampler", Run(None, 3.0))
        own = runs.inherited("sampler") == Run()
        return own and in_child(lambda: runs.inherited("sampler") == Run(None, 3.0))

    assert in_child(switch)
    assert in_child(lambda: runs.inherited("sampler") == Run(5.0, 3.0))
