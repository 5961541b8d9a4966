"""The one who switches the profiler and files its dumps, one thing at a time."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from endoscope import BusyError, NoSpaceError, NotSupportedError, Problem, RequestError
from endoscope_memory import heap_v2, profiler
from endoscope_memory.times import rfc3339

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from endoscope_memory.dumps import Draft, Dump, DumpFolder
    from endoscope_memory.profiler import Profiler
    from endoscope_memory.settings import MemorySettings

_START = "POST /diagnostics/memory/start"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Status:
    """The state of heap profiling, field by field as `GET /memory/status` answers it.

    `active_since` is RFC 3339 UTC, None also when profiling was not started from here.
    `allocator` is in bytes, None without jemalloc.
    """

    profiling_active: bool
    status: Literal["active", "inactive", "not_available"]
    platform: str
    heap_dumps_available: bool
    profiler: str | None
    python_frames: bool
    sample_interval_bytes: int | None
    active_since: str | None
    allocator: dict[str, int] | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A dump that was just taken. `seconds` is what it took, `notes` what it lacks and why."""

    dump: Dump
    seconds: float
    notes: tuple[str, ...]


class Recorder:
    """Heap profiling of this process. May be used from any thread."""

    def __init__(
        self,
        settings: MemorySettings,
        dumps: DumpFolder,
        service_name: str,
        logger: logging.Logger,
    ) -> None:
        self._settings = settings
        self._dumps = dumps
        self._service_name = service_name
        self._logger = logger
        self._switching = threading.Lock()
        self._dumping = threading.Lock()
        self._started: float | None = None  # Unix seconds, if it was us who started it

    def begin(self) -> None:
        """Start profiling if the settings say so, and tidy up after a killed process."""
        if self._settings.start_profiling:
            try:
                self.start()
            except NotSupportedError as error:
                self._logger.warning("Profiling was not started: %s", error.message)
        self._dumps.sweep()

    def end(self) -> None:
        """Stop profiling if it was started from here. The samples stay."""
        if self._started is not None:
            self.stop()

    def start(self) -> None:
        """Switch profiling on. Raises `NotSupportedError`."""
        one = self._available()
        with self._switching:
            if not one.active:
                one.start()
                self._started = time.time()

    def stop(self) -> None:
        """Switch profiling off; the samples stay. Raises `NotSupportedError`."""
        one = self._available()
        with self._switching:
            one.stop()
            self._started = None

    def dump(self) -> Recorded:
        """Take a dump and delete what retention no longer allows.

        Raises `NotSupportedError`, `BusyError` while another is being taken, `NoSpaceError`,
        and `RequestError` for any other failure to write; none of them leaves a file.
        """
        one = self._available()
        if not self._dumping.acquire(blocking=False):
            raise BusyError(
                "A heap dump is being taken already",
                remedy="Wait for it, then try again",
            )
        try:
            recorded = self._take(one)
            self._trim(recorded.dump)
        finally:
            self._dumping.release()
        return recorded

    def status(self) -> Status:
        """Return the state at this moment; works without any profiler."""
        one, available = self._profiler, self._profiler.availability.available
        active, started = one.active, self._started
        return Status(
            profiling_active=active,
            status=("active" if active else "inactive") if available else "not_available",
            platform=sys.platform,
            heap_dumps_available=available,
            profiler=one.name if available else None,
            python_frames=available and one.coverage.python_frames,
            sample_interval_bytes=one.sample_interval_bytes,
            active_since=rfc3339(started) if active and started is not None else None,
            allocator=one.allocator(),
            problems=tuple(each for each in self.problems() if each.severity != "info"),
        )

    def problems(self) -> tuple[Problem, ...]:
        """Return what stands in the profiler's way, and what does not."""
        return profiler.problems(self._profiler.availability, self._settings)

    @cached_property
    def _profiler(self) -> Profiler:
        # Not in the constructor, which also runs outside of the host.
        return profiler.choose(self._settings)

    def _available(self) -> Profiler:
        obstacles = self._profiler.availability.obstacles
        if obstacles:
            raise NotSupportedError(
                "; ".join(each.message for each in obstacles),
                remedy="; ".join(each.remedy for each in obstacles),
            )
        return self._profiler

    def _take(self, one: Profiler) -> Recorded:
        began = time.monotonic()
        stem = f"{self._service_name}_heap_dump_{int(time.time())}"
        with _disk_errors(self._dumps), self._dumps.draft() as draft:
            heap = _write(one, draft)
            dump = self._dumps.adopt(draft, stem)
        return Recorded(dump, time.monotonic() - began, _notes(one, heap))

    def _trim(self, newest: Dump) -> None:
        limits = self._settings.keep_dumps, self._settings.keep_bytes
        deleted = self._dumps.trim(*limits, newest=newest.name)
        if deleted:
            self._logger.info("Deleted the oldest heap dumps: %s", ", ".join(deleted))


def _write(one: Profiler, draft: Draft) -> heap_v2.HeapFile:
    """Have `one` write `draft`; raises the `OSError` that kept it from being complete."""
    try:
        one.dump(draft.path)
    except OSError as error:
        raise (draft.write_error() or error) from error
    heap = heap_v2.inspect(draft.descriptor)
    if not heap.complete:
        raise draft.write_error() or OSError(errno.EIO, "the profiler wrote an incomplete dump")
    return heap


@contextmanager
def _disk_errors(dumps: DumpFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _no_space(dumps) from error
        raise RequestError(
            f"The heap dump could not be written: {error.strerror}",
            remedy=f"See to it that the service can write to {dumps.directory}",
            code="dump_failed",
        ) from error


def _no_space(dumps: DumpFolder) -> NoSpaceError:
    disk = os.statvfs(dumps.directory)
    return NoSpaceError(
        f"No space for a heap dump in {dumps.directory}: "
        f"{disk.f_bavail * disk.f_frsize} bytes are free",
        remedy="Delete dumps (DELETE /diagnostics/memory/dumps), or make room on that disk",
    )


def _notes(one: Profiler, heap: heap_v2.HeapFile) -> tuple[str, ...]:
    notes = [] if one.coverage.small_objects else ["small Python objects are not in it, see status"]
    if heap.samples == 0:
        why = (
            "none were due yet"
            if one.active
            else f"because profiling is not active: {_START} first"
        )
        notes.append(f"it holds no samples, {why}")
    return tuple(notes)
