"""Python's own tracemalloc: every allocation of Python's, exactly, at a price."""

from __future__ import annotations

import os
import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING

from endoscope import BusyError
from endoscope_memory.availability import Availability, Cost, Coverage
from endoscope_profiles import Frame, jemalloc_heap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from endoscope_memory.drafts import Draft
    from endoscope_memory.settings import MemorySettings
    from endoscope_memory.wish import Wish

    Record = tuple[tuple[Frame, ...], int, int]


class TracemallocProfiler:
    """The tracing of this process, of which there is one, and which the host may use as well."""

    name = "tracemalloc"

    def __init__(self, settings: MemorySettings) -> None:
        self._frames = settings.tracemalloc_frames
        self._kept: list[Record] = []  # of the tracing that was stopped last
        self._ours = False
        self._switching = threading.Lock()

    @property
    def availability(self) -> Availability:
        """Whether it works here: always."""
        return Availability(facts=(f"tracemalloc records {self._frames} frames of each stack",))

    @property
    def active(self) -> bool:
        """Whether allocations are being recorded now."""
        return tracemalloc.is_tracing()

    @property
    def sample_interval_bytes(self) -> int:
        """Every allocation is recorded."""
        return 1

    @property
    def coverage(self) -> Coverage:
        """What its dumps show."""
        sees = "what Python allocates, exactly, by file and line without the function's name"
        return Coverage(python_frames=True, small_objects=True, sees=sees)

    @property
    def cost(self) -> Cost:
        """What it costs while it is active."""
        return Cost(
            "6 times the CPU time at 1 frame, 30 times at 25, which is dear; a dump holds up "
            "every other Python thread, for seconds where the heap is large"
        )

    def start(self, wish: Wish) -> None:
        """Begin to record; raises `BusyError` where another interval is wished for."""
        refuse_interval(wish)
        with self._switching:
            if tracemalloc.is_tracing():
                if wish.discard:
                    tracemalloc.clear_traces()
                return
            tracemalloc.start(self._frames)
            self._ours = True
            self._kept = []

    def stop(self) -> None:
        """Cease to record. tracemalloc forgets what it knew, so that is copied first.

        Where the host had started it, it goes on: it is the host's.
        """
        with self._switching:
            if self._ours and tracemalloc.is_tracing():
                self._kept = _records()
                tracemalloc.stop()
            self._ours = False

    def dump(self, draft: Draft, scratch: Draft, facts: Mapping[str, str]) -> int:  # noqa: ARG002
        """Write what is live to `draft`; returns the number of blocks. Raises `OSError`."""
        records = _records() if tracemalloc.is_tracing() else self._kept
        return write_exact(draft, records, facts)

    def live_bytes(self) -> int | None:
        """Return the bytes that are traced; None while none are."""
        return tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else None

    def allocator(self) -> None:
        """Return nothing: it traces Python's memory only, which has no statistics."""


def refuse_interval(wish: Wish) -> None:
    """Raise `BusyError` if an exact profiler is asked to sample."""
    if wish.sample_interval_bytes not in (None, 1):
        raise BusyError(
            "This profiler records every allocation and knows no sample interval",
            remedy="Set memory.profiler to jemalloc or sampler, which sample",
            code="interval_is_fixed",
        )


def write_exact(draft: Draft, records: list[Record], facts: Mapping[str, str]) -> int:
    """Write records that are not sampled; returns the number of blocks in them."""
    with os.fdopen(os.dup(draft.descriptor), "wb") as file:
        for chunk in jemalloc_heap.write(records, facts=facts, binary=sys.executable):
            file.write(chunk)
    return sum(objects for _, objects, _ in records)


def _records() -> list[Record]:
    snapshot = tracemalloc.take_snapshot()
    return [
        (tuple(_frame(each) for each in reversed(row.traceback)), row.count, row.size)
        for row in snapshot.statistics("traceback")
    ]


def _frame(frame: tracemalloc.Frame) -> Frame:
    # tracemalloc knows no functions.
    place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return Frame(place, frame.filename, frame.lineno)
