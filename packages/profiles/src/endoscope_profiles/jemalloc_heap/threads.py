"""The threads that allocated what a stack holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

from endoscope_profiles import limits
from endoscope_profiles.jemalloc_heap.sampling import Count, Sampling
from endoscope_profiles.model import Frame, Sample
from endoscope_profiles.profile_error import NotExpectedError

UNKNOWN = Frame("[unknown thread]")
"""Stands for the thread where a record does not tell."""

_NAME_BYTES = 256  # jemalloc 5.3 keeps 15 of a name, earlier ones all


class Threads:
    """Tells threads apart: the outermost frame of each thread's samples names it."""

    def __init__(self) -> None:
        self._markers: dict[bytes, Frame] = {}

    def name(self, thread: bytes, name: bytes) -> None:
        """Remember what a thread is called. Raises `NotExpectedError` if there are too many."""
        readable = name[:_NAME_BYTES].decode("utf-8", "replace")
        self._mark(thread, f"[thread {int(thread)} {readable}]")

    def parts(
        self, sample: Sample, rows: Mapping[bytes, Count], sampling: Sampling
    ) -> Sequence[Sample]:
        """Return each thread's part of `sample`, by the rows that count them.

        A thread's row is unsampled by its own mean size, which tells a thread of small blocks
        from one of large ones. Rows are rounded one by one, so that these estimates do not quite
        add up to that of all threads: they are scaled to do, and their variances as well.
        Raises `NotExpectedError` if there are too many threads.
        """
        own = [
            sampling.sample((*sample.stack, self._marker(thread)), row)
            for thread, row in rows.items()
            if any(row)
        ]
        scales = [_scale(sample, own, number) for number in _NUMBERS]
        if any(map(math.isinf, scales)):
            return (replace(sample, stack=(*sample.stack, UNKNOWN)),)
        return [_scaled(part, scales) for part in own]

    def _marker(self, thread: bytes) -> Frame:
        if thread not in self._markers:
            self._mark(thread, f"[thread {int(thread)}]")
        return self._markers[thread]

    def _mark(self, thread: bytes, marker: str) -> None:
        if len(self._markers) >= limits.THREADS:
            raise NotExpectedError(f"at most {limits.THREADS:,} threads")
        self._markers[thread] = Frame(marker)


_NUMBERS = (
    attrgetter("objects"),
    attrgetter("bytes"),
    attrgetter("objects_variance"),
    attrgetter("bytes_variance"),
)


def _scale(sample: Sample, parts: Sequence[Sample], number: Callable[[Sample], float]) -> float:
    """Return what makes the parts' numbers add up to the sample's; infinity if nothing can."""
    whole, of_parts = number(sample), math.fsum(map(number, parts))
    if of_parts:
        return whole / of_parts
    return math.inf if whole else 1.0


def _scaled(part: Sample, scales: Sequence[float]) -> Sample:
    numbers = (number(part) * scale for number, scale in zip(_NUMBERS, scales, strict=True))
    return Sample(part.stack, *numbers)
