"""The one who switches the profiler and files its dumps, one thing at a time."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from endoscope import BusyError, NotSupportedError, Problem, ProcessFact
from endoscope_memory import conversion, profiler, runs
from endoscope_memory.facts import resident_bytes
from endoscope_memory.once import once
from endoscope_memory.retention import Limits
from endoscope_memory.runs import Run
from endoscope_memory.times import rfc3339
from endoscope_memory.wish import Wish

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from endoscope_memory.availability import Cost
    from endoscope_memory.drafts import Draft
    from endoscope_memory.dumps import DumpFolder
    from endoscope_memory.listing import Dump
    from endoscope_memory.profiler import Choice, Profiler
    from endoscope_memory.settings import MemorySettings

State = Literal["active", "inactive", "not_available"]

_START = "POST /diagnostics/memory/start"


@dataclass(frozen=True, slots=True)
class Status:
    """The state of heap profiling, field by field as `GET /memory/status` answers it.

    `sees` and `cost` say what the profiler's dumps show, and what it costs. `active_since` is
    RFC 3339 UTC, None also when profiling was not started from here. `allocator` is in bytes,
    None without jemalloc.
    """

    profiling_active: bool
    status: State
    platform: str
    heap_dumps_available: bool
    profiler: str | None
    python_frames: bool
    sees: str | None
    cost: Cost | None
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
        self._switched: Run | None = None  # None until it was switched from here

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
        if self._run.started is not None:
            self.stop()

    def start(self, wish: Wish = Wish()) -> None:  # noqa: B008  it is frozen
        """Switch profiling on, or change over to what is wished.

        Raises `NotSupportedError`, and `BusyError` if that would cost the samples there are.
        """
        one = self._available()
        with self._switching:
            run, was_active = self._run, one.active
            one.start(wish)
            now = time.time()
            started = run.started if was_active else now
            since = now if run.since is None or wish.discard else run.since
            self._remember(Run(started, since))

    def stop(self) -> None:
        """Switch profiling off; the samples stay. Raises `NotSupportedError`."""
        one = self._available()
        with self._switching:
            run = self._run
            one.stop()
            self._remember(replace(run, started=None))

    def dump(self) -> Recorded:
        """Take a dump and delete what retention no longer allows.

        Raises `NotSupportedError`, `BusyError` while another is being taken, `NoSpaceError`,
        and `RequestError` for any other failure to write; none of them leaves a file.
        """
        one = self._available()
        with self._one_at_a_time():
            began = time.monotonic()
            stem = f"{self._service_name}_heap_dump_{int(time.time())}"
            with self._written(one) as (draft, samples):
                dump = self._dumps.adopt(draft, stem, os.getpid())
            seconds = time.monotonic() - began
            self._trim(dump)
        return Recorded(dump, seconds, _notes(one, samples))

    def top(self, limit: int) -> dict[str, Any]:
        """Return the `limit` biggest stacks of this moment: a `Top`, as JSON has it.

        Raises as `dump` does, and as `conversion.convert`.
        """
        one = self._available()
        with ExitStack() as written:
            with self._one_at_a_time():
                draft, samples = written.enter_context(self._written(one))
            job = {"kind": "top", "sources": 1, "limit": limit, "notes": _notes(one, samples)}
            size = os.fstat(draft.descriptor).st_size
            answer: dict[str, Any] = conversion.convert(job, [draft.descriptor], size)
            return answer

    def status(self) -> Status:
        """Return the state at this moment; works without any profiler."""
        one, available = self._profiler, self._profiler.availability.available
        active, started = one.active, self._run.started
        return Status(
            profiling_active=active,
            status=self._state(),
            platform=sys.platform,
            heap_dumps_available=available,
            profiler=one.name if available else None,
            python_frames=available and one.coverage.python_frames,
            sees=one.coverage.sees if available else None,
            cost=one.cost if available else None,
            sample_interval_bytes=one.sample_interval_bytes,
            active_since=rfc3339(started) if active and started is not None else None,
            allocator=one.allocator(),
            problems=tuple(each for each in self.problems() if each.severity != "info"),
        )

    def process_facts(self) -> list[ProcessFact]:
        """Return what tells this process from its siblings. Takes a tenth of a millisecond."""
        live_bytes, state = self._profiler.live_bytes(), self._state()
        return [ProcessFact("live_bytes", live_bytes), ProcessFact("profiling", state)]

    def problems(self) -> tuple[Problem, ...]:
        """Return what stands in the profiler's way, and what does not."""
        return profiler.problems(self._choice.availability, self._settings)

    @once
    def _choice(self) -> Choice:
        # Not in the constructor, which also runs outside of the host.
        return profiler.choose(self._settings, self._dumps)

    @property
    def _profiler(self) -> Profiler:
        return self._choice.profiler

    @property
    def _run(self) -> Run:
        """How profiling was switched, here or before this process was forked.

        What is not active any more, though it was when this process was forked, did not survive
        it, and neither did its samples.
        """
        if self._switched:
            return self._switched
        run = runs.inherited(self._profiler.name)
        return run if run.started is None or self._profiler.active else Run()

    def _remember(self, run: Run) -> None:
        self._switched = run
        runs.remember(self._profiler.name, run)

    def _state(self) -> State:
        if not self._profiler.availability.available:
            return "not_available"
        return "active" if self._profiler.active else "inactive"

    def _available(self) -> Profiler:
        obstacles = self._profiler.availability.obstacles
        if obstacles:
            raise NotSupportedError(
                "; ".join(each.message for each in obstacles),
                remedy="; ".join(each.remedy for each in obstacles),
            )
        return self._profiler

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._dumping.acquire(blocking=False):
            raise BusyError(
                "A heap dump is being taken already",
                remedy="Wait for it, then try again",
            )
        try:
            yield
        finally:
            self._dumping.release()

    @contextmanager
    def _written(self, one: Profiler) -> Iterator[tuple[Draft, int]]:
        """Have `one` write a draft; yields it and the number of samples in it."""
        dumps = self._dumps
        with dumps.writing("heap dump"), dumps.draft() as draft:
            with dumps.draft() as scratch:
                try:
                    samples = one.dump(draft, scratch, self._facts(one))
                except OSError as error:
                    raise (draft.write_error() or error) from error
            yield draft, samples

    def _facts(self, one: Profiler) -> dict[str, str]:
        """Return what a reader of a dump must know, as of now."""
        now, resident = time.time(), resident_bytes()
        interval, since = one.sample_interval_bytes, self._run.since
        return {
            "service": self._service_name,
            "pid": str(os.getpid()),
            "python": platform.python_version(),
            "profiler": one.name,
            "sees": one.coverage.sees,
            "taken": rfc3339(now, "milliseconds"),
            **({"profiling_since": rfc3339(since)} if since is not None else {}),
            **({"sample_interval_bytes": str(interval)} if interval is not None else {}),
            **({"resident_bytes": str(resident)} if resident is not None else {}),
        }

    def _trim(self, newest: Dump) -> None:
        limits = Limits(self._settings.keep_dumps, self._settings.keep_bytes)
        deleted = self._dumps.trim(limits, newest=newest.name)
        if deleted:
            self._logger.info("Deleted the oldest heap dumps: %s", ", ".join(deleted))


def _notes(one: Profiler, samples: int) -> tuple[str, ...]:
    notes = [] if one.coverage.small_objects else ["small Python objects are not in it, see status"]
    if samples == 0:
        why = (
            "none were due yet"
            if one.active
            else f"because profiling is not active: {_START} first"
        )
        notes.append(f"it holds no samples, {why}")
    return tuple(notes)
