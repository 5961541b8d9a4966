"""The threads of this process: the kernel's, and which of them Python knows."""

from __future__ import annotations

import os
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from endoscope import giving_way
from endoscope_process import kernel, proc
from endoscope_process.proc import Stat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FOLDER = "/proc/self/task"
_USER_TICKS, _SYSTEM_TICKS = 14, 15  # fields of proc_pid_stat(5)
_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "waiting for a disk",
    "T": "stopped",
    "t": "traced",
    "Z": "zombie",
    "X": "dead",
    "I": "idle",
}


@dataclass(frozen=True, slots=True)
class PythonThread:
    """What the module `threading` knows of a thread."""

    name: str | None
    ident: int | None
    daemon: bool | None


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread. Times are seconds of a processor, since the thread began.

    `name` is the kernel's, of at most 15 bytes. A switch is voluntary if the thread had to
    wait for something. `python` is None for a thread that `threading` does not know, such as
    those that a C library starts.
    """

    native_id: int
    name: str
    state: str
    user_seconds: float
    system_seconds: float
    voluntary_switches: int | None
    nonvoluntary_switches: int | None
    python: PythonThread | None


def tell() -> dict[str, object]:
    """Return all threads of this process. Raises `OSError` without `/proc`."""
    threads = list(look())
    return {
        "count": len(threads),
        "of_python": sum(thread.python is not None for thread in threads),
        "states": dict(sorted(Counter(thread.state for thread in threads).items())),
        "threads": threads,
    }


def count() -> int:
    """Return how many threads there are. Raises `OSError` without `/proc`."""
    return len(kernel.numbered_entries(_FOLDER))


def look() -> Iterator[Thread]:
    """Yield the threads by native id, without those that end meanwhile."""
    known = known_to_python()
    ticks = os.sysconf("SC_CLK_TCK")
    for native_id in giving_way(kernel.numbered_entries(_FOLDER), 16):
        try:
            stat = kernel.read(f"{_FOLDER}/{native_id}/stat")
            status = kernel.read(f"{_FOLDER}/{native_id}/status")
        except OSError:
            continue
        yield parse(native_id, stat, status, ticks, known.get(native_id))


def parse(
    native_id: int, stat: str, status: str, ticks: int, python: PythonThread | None
) -> Thread:
    """Put a thread together from its two files. Raises `ValueError` for broken ones.

    `ticks` is how many units of the kernel's clock there are to the second.
    """
    parsed, fields = Stat.of(stat), proc.fields(status)
    return Thread(
        native_id=native_id,
        name=parsed.name,
        state=_STATES.get(parsed.state, parsed.state),
        user_seconds=parsed.number(_USER_TICKS) / ticks,
        system_seconds=parsed.number(_SYSTEM_TICKS) / ticks,
        voluntary_switches=_number(fields, "voluntary_ctxt_switches"),
        nonvoluntary_switches=_number(fields, "nonvoluntary_ctxt_switches"),
        python=python,
    )


def known_to_python() -> dict[int, PythonThread]:
    """Return the threads of `threading` by native id.

    Their public attributes are not read, and `threading.enumerate()` is not called: a subclass
    of the host's may run its own code there, and where gevent has patched Python, the lock
    that it takes is one between greenlets, which must not be touched from another thread.
    """
    objects = dict.copy(threading._active)  # type: ignore[attr-defined]  # noqa: SLF001
    found: dict[int, PythonThread] = {}
    for thread in objects.values():
        attributes = object.__getattribute__(thread, "__dict__")
        if type(native_id := attributes.get("_native_id")) is int:
            found.setdefault(native_id, _python_thread(attributes))
    return found


def _python_thread(attributes: Mapping[str, object]) -> PythonThread:
    name, ident, daemon = (attributes.get(key) for key in ("_name", "_ident", "_daemonic"))
    return PythonThread(
        name if type(name) is str else None,
        ident if type(ident) is int else None,
        daemon if type(daemon) is bool else None,
    )


def _number(fields: Mapping[str, str], name: str) -> int | None:
    value = fields.get(name, "")
    return int(value) if proc.is_number(value) else None
