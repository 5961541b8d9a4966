"""Symbolizing, from the side of who asks: one confined process for each library.

A process costs 0.1 s, and what a damaged library does to it stays its own matter: a crash, a
loop or a thirst for memory costs the names of that library.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from endoscope_profiles.amounts import size
from endoscope_report.symbol_worker import MessageError, read_message, write_message

_MODULE = "endoscope_report.symbol_worker"
# What the interpreter may need to start. Above all not LD_PRELOAD, nor what MALLOC_CONF says.
_INHERITED = ("PATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one library's symbols may take.

    `memory_bytes` of address space, which the file itself takes part of; `cpu_seconds`;
    `seconds` on the clock.
    """

    memory_bytes: int = 8 * 2**30
    cpu_seconds: int = 60
    seconds: float = 120


class Place(NamedTuple):
    """A function, and where in the source; `file` is empty and `line` 0 if that is not known."""

    function: str
    file: str
    line: int


class Symbolized(NamedTuple):
    """For each address its places, innermost first, none if it has no name there.

    `symcache` is what may be given next time instead of the file; empty if it was.
    """

    places: list[tuple[Place, ...]]
    symcache: bytes


class SymbolizingError(Exception):
    """There are no names. The text goes on after the library's name: "crashed ..."."""


def symbolize(file: Path, symcache: bytes, addresses: Sequence[int], limits: Limits) -> Symbolized:
    """Look addresses up in the ELF file, or in the symcache that was made of it, if not empty.

    Addresses count from the file's first loaded segment on. Raises `SymbolizingError`.
    """
    request = {"file": str(file), "addresses": list(addresses)}
    head, made = _ask(request, symcache, limits)
    if not isinstance(head, dict):
        raise SymbolizingError("was answered with nonsense")
    if "error" in head:
        raise SymbolizingError(f"cannot be read ({head['error']})")
    try:
        places = [tuple(map(_place, frames)) for frames in head["frames"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SymbolizingError("was answered with nonsense") from error
    if len(places) != len(addresses):
        raise SymbolizingError("was answered with nonsense")
    return Symbolized(places, made)


def _place(frame: Any) -> Place:
    function, file, line = frame
    return Place(str(function), str(file), int(line))


def _ask(request: Any, body: bytes, limits: Limits) -> tuple[Any, bytes]:
    deadline = time.monotonic() + limits.seconds
    with _started(limits) as process:
        overrun = threading.Timer(limits.seconds, process.kill)  # which ends every wait for it
        overrun.start()
        try:
            return _exchange(process, request, body)
        except MessageError as error:
            is_late = time.monotonic() >= deadline
            raise SymbolizingError(_end_of(process.wait(), limits, is_late)) from error
        finally:
            overrun.cancel()
            process.kill()


def _started(limits: Limits) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-m", _MODULE, str(limits.memory_bytes), str(limits.cpu_seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _INHERITED if name in os.environ},
        start_new_session=True,  # Ctrl-C is for who asks, and ends it from there
    )


def _exchange(process: subprocess.Popen[bytes], request: Any, body: bytes) -> tuple[Any, bytes]:
    assert process.stdin is not None  # noqa: S101  both are pipes, which the type has forgotten
    assert process.stdout is not None  # noqa: S101
    # If it has died, the answer that is missing tells.
    with suppress(BrokenPipeError), process.stdin as pipe:
        write_message(pipe, request, body)
    return read_message(process.stdout)


def _end_of(code: int, limits: Limits, is_late: bool) -> str:
    """Say how a process ended that gave no answer."""
    if is_late:
        return f"takes over {limits.seconds:g} seconds to read"
    if code == -signal.SIGXCPU:
        return f"takes over {limits.cpu_seconds} seconds of CPU time to read"
    if code >= 0:
        return f"cannot be read (the symbol worker ended with {code})"
    # Out of memory, native code aborts.
    return (
        f"made the symbol worker crash ({_signal(-code)}; it may use {size(limits.memory_bytes)})"
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
