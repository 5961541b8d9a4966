"""Converting dumps in a process of its own.

To read a large dump takes seconds of Python, and a multiple of its size in memory; a pattern can
be made to take for ever. Here none of it is at the expense of the host: the process has its own
interpreter, lowest priority and limits of its own, and is the first to go when memory ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import endoscope_memory
import endoscope_profiles
from endoscope import (
    BadRequestError,
    BusyError,
    EndoscopeError,
    NotSupportedError,
    RequestError,
)

SECONDS = 50
"""How long a conversion may take: less than a handler may."""

_AT_ONCE = 2  # each takes one core
_WAIT_SECONDS = 5.0
_MEMORY_PER_BYTE = 16
_MEMORY_LEAST = 1 << 30
_ABOVE_ALL = 64  # descriptors from here on are in nobody's way while others are put in place
_FIRST = 3  # the first one that a job finds its files at
_MOST_ANSWER = 64 << 20
_BEGIN = "import sys; sys.path[:] = {path!r}; from endoscope_memory.converter import main; main()"
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL")

_slots = threading.BoundedSemaphore(_AT_ONCE)


def convert(job: Mapping[str, Any], files: Sequence[int], input_bytes: int) -> Any:
    """Do `job`, see `converter`, with the open `files`, and return its answer.

    `input_bytes` is the size of what is read. Raises `BadRequestError` for what it was asked,
    `BusyError` while others are at it, `OSError` if it could not write, and `RequestError`.
    """
    with _slot():
        limits = {"seconds": SECONDS, "memory_bytes": _memory(input_bytes)}
        return _outcome(_answer({**job, **limits}, files))


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots.acquire(timeout=_WAIT_SECONDS):
        raise BusyError(
            f"{_AT_ONCE} conversions are being made already", remedy="Wait for them, then try again"
        )
    try:
        yield
    finally:
        _slots.release()


def _memory(input_bytes: int) -> int:
    return _MEMORY_LEAST + _MEMORY_PER_BYTE * input_bytes


def _answer(job: Mapping[str, Any], files: Sequence[int]) -> bytes:
    """Run the process to its end and return what it had to say."""
    reading, writing = os.pipe()
    try:
        try:
            process = _spawn(json.dumps(job), (writing, *files))
        finally:
            os.close(writing)
        # It ends when the process does, which an alarm of its own sees to.
        with os.fdopen(os.dup(reading), "rb") as output:
            answer = output.read(_MOST_ANSWER)
    finally:
        os.close(reading)
    # A host that waits for all of its children may have been quicker.
    with suppress(ChildProcessError):
        os.waitpid(process, 0)
    return answer


def _spawn(job: str, files: Sequence[int]) -> int:
    """Start the process: `files` become its standard output and what follows standard error.

    Not by `subprocess`, which gevent replaces, and which would have to fork for some of this.
    """
    program, path = _interpreter(), [*_homes(), *sys.path]
    code = _BEGIN.format(path=[*dict.fromkeys(path)])
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _ABOVE_ALL) for each in files]
    places = (1, *range(_FIRST, _FIRST + len(files) - 1))
    try:
        return os.posix_spawn(
            program,
            [program, "-I", "-S", "-c", code, job],
            {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                *((os.POSIX_SPAWN_DUP2, each, to) for each, to in zip(moved, places, strict=True)),
            ],
            setpgroup=0,  # a terminal's interrupt is for the host
            setsigmask=(),  # our threads block all
            setsigdef=(signal.SIGALRM, signal.SIGPIPE, signal.SIGINT, signal.SIGTERM),
        )
    except OSError as error:
        raise _impossible(f"{program} cannot be started: {error.strerror}") from error
    finally:
        for each in moved:
            os.close(each)


def _homes() -> list[str]:
    """Return where our own packages lie, which `sys.path` need not name."""
    packages = (endoscope_memory, endoscope_profiles)
    return [str(Path(package.__path__[0]).parent) for package in packages]


def _interpreter() -> str:
    """Return a Python like this one; a host that embeds Python is none."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = (sys.executable, os.path.join(sys.exec_prefix, "bin", version))
    for candidate in candidates:
        if "python" in os.path.basename(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise _impossible(f"there is no {version} beside this program")


def _outcome(answer: bytes) -> Any:
    try:
        outcome = json.loads(answer)
    except ValueError:
        raise RequestError(
            f"The conversion did not end well: it took more than {SECONDS} seconds, or memory",
            remedy="Download the dump, and use `endoscope report` on it",
            code="conversion_failed",
        ) from None
    if "answer" in outcome:
        return outcome["answer"]
    raise _error(outcome)


def _error(outcome: Mapping[str, Any]) -> Exception:
    if outcome["errno"]:
        return OSError(outcome["errno"], os.strerror(outcome["errno"]))
    known: dict[str, type[EndoscopeError]] = {
        "bad_parameter": BadRequestError,
        "bad_dump": RequestError,
    }
    kind = known.get(outcome["code"], RequestError)
    return kind(outcome["message"], remedy=outcome["remedy"], code=outcome["code"])


def _impossible(why: str) -> NotSupportedError:
    return NotSupportedError(
        f"Dumps cannot be converted here: {why}",
        remedy="Download the dump, and use `endoscope report` on it",
    )
