"""Whether this process only minds its workers, as the first process of most servers does.

There is no general sign of it: an idle service looks the same. So the programs are listed,
and looked for on the main thread's stack.
"""

from __future__ import annotations

import sys
import threading
from itertools import dropwhile
from types import FrameType

# Modules whose code runs on the main thread of a process that has others do the work.
_SUPERVISORS = (
    "gunicorn.arbiter",
    "gunicorn.dirty.arbiter",
    "uvicorn.supervisors",
    "hypercorn.run",
    "granian.server",
    "celery.apps.worker",
    "celery.bin.worker",
    "multiprocessing.forkserver",
    "multiprocessing.popen_fork",  # a program of its own kind, which waits for its children
    "werkzeug._reloader",
    "django.utils.autoreload",
)


# How many of the main thread's frames, from the outermost, are the parent's, at the fork.
_inherited = 0


def note_fork() -> None:
    """Remember, in a forked child, which frames are not its own: it was forked in them."""
    global _inherited  # noqa: PLW0603  the process's own, as the fork was
    modules = _modules(sys._getframe())  # noqa: SLF001
    # Without our own, which are on top and return: not those of a middleware further below.
    _inherited = len(list(dropwhile(lambda name: name.startswith("endoscope."), modules)))


def minds_workers() -> bool:
    """Return whether the main thread is in the code of a supervisor."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001
    modules = _modules(frame)
    return any(map(_is_supervisor, modules[: len(modules) - _inherited]))


def _is_supervisor(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in _SUPERVISORS)


def _modules(frame: FrameType | None) -> list[str]:
    """Return the modules that a stack's code is of, innermost first."""
    modules = []
    while frame is not None:
        modules.append(str(frame.f_globals.get("__name__", "")))
        frame = frame.f_back
    return modules
