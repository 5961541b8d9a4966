from __future__ import annotations

import os
import threading
from types import ModuleType

import pytest

from endoscope.processes import supervisors
from endoscope.processes.supervisors import minds_workers


def called_from(module: str, function):
    """Call `function` from code that is of a module of this name."""
    made = ModuleType(module)
    exec("def call(function): return function()", made.__dict__)
    return made.call(function)


def test_a_program_of_its_own_minds_none():
    assert not minds_workers()


@pytest.mark.parametrize(
    "module", ["gunicorn.arbiter", "uvicorn.supervisors.multiprocess", "multiprocessing.forkserver"]
)
def test_a_supervisor_is_known_by_its_main_thread(module):
    assert called_from(module, minds_workers)
    assert called_from(module, lambda: called_from("app", minds_workers))


@pytest.mark.parametrize("module", ["gunicorn.arbiters", "uvicorn", "my.gunicorn.arbiter"])
def test_a_name_that_is_alike_is_another(module):
    assert not called_from(module, minds_workers)


def test_it_is_known_from_another_thread():
    found = []

    def on_thread():
        thread = threading.Thread(target=lambda: found.append(minds_workers()))
        thread.start()
        thread.join()

    called_from("gunicorn.arbiter", on_thread)
    on_thread()
    assert found == [True, False]


def test_a_worker_that_was_forked_in_its_supervisor_s_frames_is_none():
    def fork():
        child = os.fork()
        if child == 0:
            supervisors.note_fork()
            inside = called_from("app", minds_workers)
            os._exit(1 if inside else 2 + called_from("gunicorn.arbiter", minds_workers))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    # 2: no supervisor in the frames of its own; and 1 more, since it then becomes one.
    assert called_from("gunicorn.arbiter", fork) == 3
