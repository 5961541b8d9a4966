"""What runs in the process that `conversion` starts: one job, its answer on standard output.

A job is JSON: its `kind`, `sources` (how many dumps it finds open, from descriptor 3 on; after
them the file to write, where it writes one) and what that kind needs.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from endoscope_memory.top import top
from endoscope_profiles import Profile, ProfileError, reading
from endoscope_profiles.views import View, ViewError, render, render_growth

_FIRST = 3
_NICENESS = 10
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

Job = Mapping[str, Any]


def main() -> None:
    """Do the job that is the last argument."""
    gc.disable()  # it would go through millions of frames that live as long as the process
    job = json.loads(sys.argv[-1])
    _be_modest(job)
    _end_with(job["parent"])
    sys.stdout.write(json.dumps(_outcome(job)) + "\n")
    sys.stdout.flush()


def _be_modest(job: Job) -> None:
    os.nice(_NICENESS)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = job["memory_bytes"]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    # Nobody handles it: it ends the process, whatever that is at.
    signal.alarm(job["seconds"])


def _end_with(parent: int) -> None:
    """Be killed when the host ends, or who waits there: nobody else wants to know."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(1)


def _outcome(job: Job) -> Mapping[str, Any]:
    try:
        return {"answer": _KINDS[job["kind"]](job)}
    except ViewError as error:
        return _problem("bad_parameter", error.message, error.remedy)
    except ProfileError as error:
        return _problem("bad_dump", f"The dump cannot be read: {error}", "Take another one")
    except MemoryError:
        return _problem(
            "conversion_failed",
            "The conversion needs more memory than it may take",
            "Download the dump, and use `endoscope report` on it",
        )
    except OSError as error:
        return _problem("io", str(error), "", error.errno or 0)


def _problem(code: str, message: str, remedy: str, errno: int = 0) -> dict[str, Any]:
    return {"code": code, "message": message, "remedy": remedy, "errno": errno}


def _view(job: Job) -> None:
    """Write a view of one dump, or of how the second differs from the first."""
    view = View.parse(job["options"])
    *bases, target = _profiles(job, view)
    base = bases[0] if bases else None
    _write(job, render(view, target, title=job["title"], base=base))


def _growth(job: Job) -> None:
    """Write what grew over several dumps."""
    view = View.parse_growth(job["options"])
    _write(job, iter([render_growth(view, list(_profiles(job, view)))]))


def _top(job: Job) -> dict[str, Any]:
    """Return the biggest stacks of one dump."""
    with _opened(_FIRST) as content:
        return asdict(top(reading.read(content), job["limit"], tuple(job["notes"])))


_KINDS: Mapping[str, Callable[[Job], Any]] = {"view": _view, "growth": _growth, "top": _top}


def _profiles(job: Job, view: View) -> Iterator[Profile]:
    for descriptor in range(_FIRST, _FIRST + job["sources"]):
        with _opened(descriptor) as content:
            yield reading.read(content, threads=view.needs_threads)


@contextmanager
def _opened(descriptor: int) -> Iterator[mmap.mmap | bytes]:
    if os.fstat(descriptor).st_size == 0:  # which cannot be mapped
        yield b""
        return
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        yield content


def _write(job: Job, chunks: Iterator[bytes]) -> None:
    with os.fdopen(_FIRST + job["sources"], "wb") as output:
        output.writelines(chunks)
