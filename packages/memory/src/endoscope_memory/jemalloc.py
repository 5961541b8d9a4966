"""Typed mallctl calls to the jemalloc that is in this process, if there is one.

The names and types are those of jemalloc 5's manual, section "mallctl namespace".
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from endoscope_memory.process import file_mapped_at

if TYPE_CHECKING:
    from pathlib import Path

# Distributions' builds carry no prefix; Rust's tikv-jemalloc-sys has its own.
_PREFIXES = ("", "_rjem_")
_BACKTRACE_HOOK = "experimental.hooks.prof_backtrace"
_TRIED_BYTES = 1 << 20
_MALLCTL_ARGUMENTS = (
    ctypes.c_char_p,  # name
    ctypes.c_void_p,  # where to put the old value
    ctypes.c_void_p,  # and its size
    ctypes.c_void_p,  # the new value
    ctypes.c_size_t,  # and its size
)


class MallctlError(OSError):
    """jemalloc refused a call. `errno` is what it returned, `filename` the call's name."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(number, f"jemalloc refused ({os.strerror(number)})", name)


@dataclass(frozen=True, slots=True)
class Statistics:
    """jemalloc's view of the process's heap, in bytes, at one moment.

    While profiling is active `allocated` also counts what sampling itself takes.
    """

    allocated: int
    active: int
    metadata: int
    resident: int
    mapped: int
    retained: int


@dataclass(frozen=True, slots=True)
class Jemalloc:
    """The jemalloc in this process.

    `library` is the file it is in (the executable when linked into it, empty when
    unknown). Each call is made with the GIL released and may be made from any thread.
    """

    prefix: str
    library: str
    _mallctl: Any = field(repr=False)

    @property
    def version(self) -> str:
        """Its version, such as `5.3.0`, without the commit."""
        return str(self._read("version", ctypes.c_char_p).decode()).partition("-")[0]

    @property
    def serves_malloc(self) -> bool:
        """Whether it is the one that `malloc` of this process leads to, as far as it tells.

        Tried, since where `malloc` is does not say: in an executable that cannot be moved in
        memory it is a stub of the executable's own, whoever serves it.
        """
        program = ctypes.CDLL(None)
        program.malloc.restype = ctypes.c_void_p
        program.malloc.argtypes = (ctypes.c_size_t,)
        program.free.argtypes = (ctypes.c_void_p,)
        try:
            before = self._read("thread.allocated", ctypes.c_uint64)
            program.free(program.malloc(_TRIED_BYTES))
            return bool(self._read("thread.allocated", ctypes.c_uint64) - before >= _TRIED_BYTES)
        except MallctlError:  # a build that keeps no statistics
            return True

    @property
    def built_for_profiling(self) -> bool:
        """Whether it was built with `--enable-prof`."""
        return bool(self._read("config.prof", ctypes.c_bool))

    @property
    def profiling_enabled(self) -> bool:
        """Whether profiling was switched on when the process started; fixed since then."""
        return self.built_for_profiling and bool(self._read("opt.prof", ctypes.c_bool))

    @property
    def active(self) -> bool:
        """Whether allocations are being sampled now."""
        return self.profiling_enabled and bool(self._read("prof.active", ctypes.c_bool))

    @property
    def sample_interval_bytes(self) -> int:
        """The mean number of allocated bytes between two samples, a power of two."""
        # What `prof.reset` has made of the option; nothing where profiling is off.
        name = "prof.lg_sample" if self.profiling_enabled else "opt.lg_prof_sample"
        return 1 << self._size(name)

    @property
    def asks_for_stacks(self) -> bool:
        """Whether the stacks of its samples can be had from a hook (5.3.0 and later)."""
        try:
            self._read(_BACKTRACE_HOOK, ctypes.c_void_p)
        except MallctlError:
            return False
        return True

    @property
    def mallctl_address(self) -> int:
        """Where its `mallctl` is in memory, for callers that are not Python."""
        return _address(self._mallctl)

    def set_active(self, active: bool) -> None:
        """Begin or cease to sample; the samples taken so far stay. Raises `MallctlError`."""
        self._write("prof.active", ctypes.c_bool(active))

    def reset(self, lg_interval: int) -> None:
        """Throw all samples away and go on with another interval. Raises `MallctlError`."""
        self._write("prof.reset", ctypes.c_size_t(lg_interval))

    def dump(self, path: Path) -> None:
        """Write the heap profile to `path`, over whatever is there. Raises `MallctlError`.

        The errno says nothing (14 for a full disk and for a missing directory alike), and
        a short write can even go unnoticed: check what was written.
        """
        self._write("prof.dump", ctypes.c_char_p(os.fsencode(path)))

    @property
    def allocated(self) -> int | None:
        """How many bytes are handed out now, as `Statistics` has it."""
        try:
            self._write("epoch", ctypes.c_uint64(1))
            return self._size("stats.allocated")
        except MallctlError:
            return None

    def statistics(self) -> Statistics | None:
        """Return the statistics as of now, or nothing from a build that keeps none."""
        try:
            self._write("epoch", ctypes.c_uint64(1))  # the figures stand still between epochs
            return Statistics(*(self._size(f"stats.{name}") for name in Statistics.__slots__))
        except MallctlError:
            return None

    def _size(self, name: str) -> int:
        return int(self._read(name, ctypes.c_size_t))

    def _read(self, name: str, kind: Any) -> Any:
        value = kind()
        size = ctypes.c_size_t(ctypes.sizeof(value))
        self._call(name, ctypes.byref(value), ctypes.byref(size), None, 0)
        return value.value

    def _write(self, name: str, value: Any) -> None:
        self._call(name, None, None, ctypes.byref(value), ctypes.sizeof(value))

    def _call(self, name: str, *arguments: Any) -> None:
        if number := self._mallctl(name.encode(), *arguments):
            raise MallctlError(name, number)


def loaded() -> Jemalloc | None:
    """Return the jemalloc that is in this process, or None.

    It is looked up, never loaded: `dlopen` of a libjemalloc in a running process fails for
    want of static TLS space, and would not take over memory that is handed out already.
    """
    if sys.platform != "linux":
        return None
    program = ctypes.CDLL(None)
    return next((found for prefix in _PREFIXES if (found := _in(program, prefix))), None)


def _in(program: ctypes.CDLL, prefix: str) -> Jemalloc | None:
    try:
        mallctl = program[f"{prefix}mallctl"]
    except AttributeError:
        return None
    mallctl.argtypes = _MALLCTL_ARGUMENTS
    return Jemalloc(prefix, file_mapped_at(_address(mallctl)), mallctl)


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
