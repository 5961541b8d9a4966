"""Converting dumps in a process of its own.

To read a large dump takes seconds of Python, and a multiple of its size in memory; a pattern can
be made to take for ever. Here none of it is at the expense of the host: the process has its own
interpreter, lowest priority and limits of its own, and is the first to go when memory ends.
"""

from __future__ import annotations

import _socket  # as `socket` and `os` have them, and gevent replaces them there
import fcntl
import json
import os
import posix
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from endoscope import (
    BadRequestError,
    BusyError,
    EndoscopeError,
    NotFoundError,
    NotSupportedError,
    RequestError,
)

SECONDS = 50
"""How long a conversion may take if nothing else is said: less than a handler may."""

_AT_ONCE = 2  # each takes one core
_WAITING = 2  # each holds one of the threads that all requests share
_WAIT_SECONDS = 5.0
_GRACE_SECONDS = 2  # its own alarm comes first
_MEMORY_PER_BYTE = 16
_MEMORY_LEAST = 1 << 30
_ABOVE_ALL = 64  # descriptors from here on are in nobody's way while others are put in place
_FIRST = 3  # the first one that a job finds its files at
_MOST_ANSWER = 64 << 20
_BEGIN = (
    # What the host lets its children inherit, such as the socket it listens on, is not for this.
    "import os, sys; os.closerange({end}, 65536); sys.path += {path!r}; "
    "from endoscope_memory.converter import main; main()"
)
_ERRORS: Mapping[str, type[EndoscopeError]] = {
    "bad_parameter": BadRequestError,
    "dump_not_found": NotFoundError,
}
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL")

_places = threading.BoundedSemaphore(_AT_ONCE + _WAITING)
_slots = threading.BoundedSemaphore(_AT_ONCE)


def _have_none_taken() -> None:
    """Begin with free places: what the parent's threads hold, nobody gives back in its child."""
    global _places, _slots  # noqa: PLW0603  there is one queue in each process
    _places = threading.BoundedSemaphore(_AT_ONCE + _WAITING)
    _slots = threading.BoundedSemaphore(_AT_ONCE)


os.register_at_fork(after_in_child=_have_none_taken)


def convert(
    job: Mapping[str, Any], files: Sequence[int], input_bytes: int, seconds: int = SECONDS
) -> Any:
    """Do `job`, see `converter`, with the open `files`, and return its answer.

    `input_bytes` is the size of what is read. It may take `seconds`. Raises `BadRequestError` for
    what it was asked, `NotFoundError` for a dump that is gone, `BusyError` while others are at it,
    `OSError` if it could not write, and `RequestError`.
    """
    limits = {"seconds": seconds, "memory_bytes": _memory(input_bytes), "parent": os.getpid()}
    with _slot():
        return _outcome(*_run({**job, **limits}, files, seconds + _GRACE_SECONDS))


@contextmanager
def _slot() -> Iterator[None]:
    """Wait for one to be free, in a short queue: whoever waits keeps others from being served."""
    if not _places.acquire(blocking=False):
        raise _busy()
    try:
        if not _slots.acquire(timeout=_WAIT_SECONDS):
            raise _busy()
        try:
            yield
        finally:
            _slots.release()
    finally:
        _places.release()


def _busy() -> BusyError:
    return BusyError(
        f"{_AT_ONCE} conversions are being made already", remedy="Wait for them, then try again"
    )


def _memory(input_bytes: int) -> int:
    return _MEMORY_LEAST + _MEMORY_PER_BYTE * input_bytes


def _run(job: Mapping[str, Any], files: Sequence[int], seconds: int) -> tuple[bytes, int]:
    """Run the process; return what it had to say, and its status (0 if nobody knows).

    It is over when it has answered, and killed after `seconds` even if it was stopped.
    """
    ours, its = _socket.socketpair()
    with ExitStack() as opened:
        opened.callback(ours.close)
        try:
            process = _spawn(json.dumps(job), (its.fileno(), *files))
        finally:
            its.close()
        answer = _read(ours, time.monotonic() + seconds)
    # A host that waits for all of its children may have been quicker.
    with suppress(ProcessLookupError):
        posix.kill(process, signal.SIGKILL)
    with suppress(ChildProcessError):
        return answer, posix.waitpid(process, 0)[1]
    return answer, 0


def _read(ours: _socket.socket, deadline: float) -> bytes:
    """Read a line. Not to the end: a fork of the host's may hold the other end for ever."""
    answer = b""
    while not answer.endswith(b"\n") and len(answer) < _MOST_ANSWER:
        left = max(deadline - time.monotonic(), 0.001)
        timeout = struct.pack("@ll", int(left), int(left % 1 * 1e6))
        ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, timeout)
        try:
            piece = posix.read(ours.fileno(), 1 << 20)
        except BlockingIOError:
            return b""
        if not piece:
            break
        answer += piece
    return answer


def _spawn(job: str, files: Sequence[int]) -> int:
    """Start the process: `files` become its standard output and what follows standard error.

    Not by `subprocess`, which gevent replaces, and which would have to fork for some of this.
    """
    program = _interpreter()
    end = _FIRST + len(files) - 1
    places = (1, *range(_FIRST, end))
    code = _BEGIN.format(end=end, path=_path())
    try:
        with ExitStack() as moved:
            sources = [_moved(each, moved) for each in files]
            return posix.posix_spawn(
                program,
                [program, "-I", "-S", "-c", code, job],
                {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                    *(
                        (os.POSIX_SPAWN_DUP2, each, to)
                        for each, to in zip(sources, places, strict=True)
                    ),
                ],
                setpgroup=0,  # a terminal's interrupt is for the host
                setsigmask=(),  # our threads block all
                setsigdef=(signal.SIGALRM, signal.SIGPIPE, signal.SIGINT, signal.SIGTERM),
            )
    except OSError as error:
        raise RequestError(
            f"No process can be started to convert dumps in: {error.strerror}",
            remedy="Look at the host's limits of open files and processes, or download the dump "
            "and use `endoscope report`",
            code="conversion_failed",
        ) from error


def _moved(descriptor: int, moved: ExitStack) -> int:
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _ABOVE_ALL)
    moved.callback(os.close, copy)
    return copy


def _path() -> list[str]:
    """Return where our packages and those that they need lie: nothing else of the host's."""
    needed = ("endoscope_memory", "endoscope_profiles", "zstandard", "google")
    return [*dict.fromkeys(home for name in needed for home in _homes(name))]


def _homes(package: str) -> list[str]:
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return [os.path.dirname(os.path.abspath(place)) for place in places or ()]


def _interpreter() -> str:
    """Return a Python like this one; a host that embeds Python is none."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = (sys.executable or "", os.path.join(sys.exec_prefix, "bin", version))
    for candidate in candidates:
        if "python" in os.path.basename(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise NotSupportedError(
        f"Dumps cannot be converted here: there is no {version} beside this program",
        remedy="Download the dump, and use `endoscope report` on it",
    )


def _outcome(answer: bytes, status: int) -> Any:
    try:
        outcome = json.loads(answer)
    except ValueError:
        raise RequestError(
            f"The conversion did not come to its end: {_end(status)}",
            remedy="Try again, or download the dump, and use `endoscope report` on it",
            code="conversion_failed",
        ) from None
    if "answer" in outcome:
        return outcome["answer"]
    raise _error(outcome)


def _end(status: int) -> str:
    if not os.WIFSIGNALED(status):
        return f"its process ended with {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    if number in (signal.SIGALRM, signal.SIGKILL):
        return "it took too long, or it was killed, as by a system that is out of memory"
    return f"its process was ended by signal {number}"


def _error(outcome: Mapping[str, Any]) -> Exception:
    if outcome["errno"]:
        return OSError(outcome["errno"], os.strerror(outcome["errno"]))
    kind = _ERRORS.get(outcome["code"], RequestError)
    return kind(outcome["message"], remedy=outcome["remedy"], code=outcome["code"])
