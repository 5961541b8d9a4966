"""What runs in the process that `conversion` starts: one job, its answer on standard output.

A job is JSON: its `kind`, `sources` (how many dumps it finds open, from descriptor 3 on; after
them the file to write, where it writes one) and what that kind needs. Where one is of many
processes, its only source is the folder, and `dumps` has the names: so many open files the host
has none to spare for.
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
from endoscope_profiles import Profile, ProfileError, jemalloc_heap, process_views, reading
from endoscope_profiles.views import View, ViewError, render, render_growth

_FIRST = 3
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NICENESS = 10
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

Job = Mapping[str, Any]


class _UnreadableError(Exception):
    """One of several dumps cannot be read."""


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
    except (ProfileError, _UnreadableError) as error:
        return _unreadable(error)
    except MemoryError:
        return _problem(
            "conversion_failed",
            "The conversion needs more memory than it may take",
            "Download the dump, and use `endoscope report` on it",
        )
    except FileNotFoundError as error:
        gone = f"{error.filename} was deleted before it was read"
        return _problem("dump_not_found", gone, "Try again")
    except OSError as error:
        return _problem("io", str(error), "", error.errno or 0)


def _unreadable(error: ProfileError | _UnreadableError) -> dict[str, Any]:
    if isinstance(error, ProfileError):
        return _problem("bad_dump", f"The dump cannot be read: {error}", "Take another one")
    return _problem("bad_dump", str(error), "Delete it, or choose others: dumps=NAME,NAME")


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


def _merged(job: Job) -> None:
    """Write a view of several processes' dumps added up."""
    view = process_views.parse_merged(job["options"])
    profiles = (profile for _, profile in _named_profiles(job, view))
    _write(job, process_views.render_merged(view, profiles, title=job["title"]))


def _outliers(job: Job) -> None:
    """Write how several processes compare by their dumps."""
    view = process_views.parse_outliers(job["options"])
    dumps = _named_profiles(job, view)
    _write(job, iter([process_views.render_outliers(view, dumps)]))


def _top(job: Job) -> dict[str, Any]:
    """Return the biggest stacks of one dump."""
    with _opened(_FIRST) as content:
        return asdict(top(reading.read(content), job["limit"], tuple(job["notes"])))


_KINDS: Mapping[str, Callable[[Job], Any]] = {
    "view": _view,
    "growth": _growth,
    "merged": _merged,
    "outliers": _outliers,
    "top": _top,
}


def _profiles(job: Job, view: View) -> Iterator[Profile]:
    for descriptor in range(_FIRST, _FIRST + job["sources"]):
        with _opened(descriptor) as content:
            yield reading.read(content, threads=view.needs_threads)


def _named_profiles(job: Job, view: View) -> Iterator[tuple[str, Profile]]:
    """Read the dumps of a folder by their names, one after the other."""
    names = jemalloc_heap.Names()  # the dumps are of one program
    for name in job["dumps"]:
        descriptor = os.open(name, _READ, dir_fd=_FIRST)
        try:
            with _opened(descriptor) as content:
                yield name, reading.read(content, threads=view.needs_threads, names=names)
        except ProfileError as error:
            raise _UnreadableError(f"The dump {name} cannot be read: {error}") from error
        finally:
            os.close(descriptor)


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
