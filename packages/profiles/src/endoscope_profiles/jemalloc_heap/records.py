"""A dump's records: what each stack holds, in all threads or in each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from endoscope_profiles import limits
from endoscope_profiles.jemalloc_heap.addresses import Stacks
from endoscope_profiles.jemalloc_heap.lines import Lines
from endoscope_profiles.jemalloc_heap.sampling import Count, Sampling, total
from endoscope_profiles.jemalloc_heap.threads import Threads
from endoscope_profiles.model import Sample
from endoscope_profiles.profile_error import NotExpectedError

# Every pattern is tried at one place only, and none repeats a group without a limit, which
# would take time or memory beyond measure on a hostile dump. 20 digits hold all that 64 bits do.
_COUNTS = (
    rb"[ \t]*t(?P<thread>\*|\d{1,20}): +(?P<objects>\d{1,20}): +(?P<bytes>\d{1,20})"
    rb" +\[ *\d{1,20}: +\d{1,20}\](?: (?P<name>[^\n]*))?\n"
)
_ADDRESSES = rb"@(?P<addresses>[ x0-9a-f]*)\n"
_ROW = re.compile(_COUNTS)
_STACK = re.compile(_ADDRESSES)
_RECORD = re.compile(_ADDRESSES + _COUNTS)  # as far as its first row

# In place of a thread's number.
_ALL, _UNKNOWN = b"*", b""
_NOTHING = Count(0, 0)


class Records:
    """A dump from its first row on, as samples of all threads, or of each if there are `threads`.

    Each record is unsampled on its own: it is about blocks of about one size.
    """

    def __init__(
        self, lines: Lines, stacks: Stacks, sampling: Sampling, threads: Threads | None
    ) -> None:
        self._lines = lines
        self._stacks = stacks
        self._sampling = sampling
        self._threads = threads
        self._seen: set[int] = set()
        self._frames = 0
        self._amount = 0.0

    def samples(self) -> Iterator[Sample]:
        """Yield what holds anything. Raises `ProfileError`."""
        try:
            self._read_totals()
            while record := self._lines.take(_RECORD):
                yield from self._parts(record)
        except NotExpectedError as error:
            raise self._lines.error_in_last(error.expected) from None
        if self._lines.take(_STACK):
            raise self._lines.error("'t*: objects: bytes [objects: bytes]'")

    def _read_totals(self) -> None:
        """Take the threads' names; the totals say nothing else that the records do not."""
        while row := self._lines.take(_ROW):
            if self._threads and row["name"] and row["thread"] != _ALL:
                self._threads.name(row["thread"], row["name"])

    def _parts(self, record: re.Match[bytes]) -> Sequence[Sample]:
        """Return the sample of a record, or those of its threads."""
        addresses = record["addresses"]
        stack = self._stacks.stack(addresses)
        rows = self._rows(record)
        counted = rows.pop(_ALL, None) or total(rows.values())
        if counted == _NOTHING:
            return ()
        sample = self._sampling.sample(stack, counted)
        self._amount += sample.objects + sample.bytes
        if self._amount > limits.AMOUNT:
            raise NotExpectedError(f"at most {limits.AMOUNT:,} live bytes and objects")
        if not self._threads:
            self._hold(hash(addresses), len(stack))
            return (sample,)
        for thread in rows or (_UNKNOWN,):
            self._hold(hash((addresses, thread)), len(stack) + 1)
        return self._threads.parts(sample, rows, self._sampling)

    def _rows(self, record: re.Match[bytes]) -> dict[bytes, Count]:
        rows: dict[bytes, Count] = {}
        row: re.Match[bytes] | None = record
        while row:
            thread, objects, size = row.group("thread", "objects", "bytes")
            known = rows.get(thread, _NOTHING)
            rows[thread] = Count(known.objects + int(objects), known.bytes + int(size))
            if len(rows) > limits.THREADS:
                raise NotExpectedError(f"at most {limits.THREADS:,} threads")
            row = self._lines.take(_ROW)
        return rows

    def _hold(self, key: int, frames: int) -> None:
        """Count what is kept of a stack, if it is a new one."""
        if key in self._seen:
            return
        self._seen.add(key)
        self._frames += frames
        if len(self._seen) > limits.STACKS:
            raise NotExpectedError(f"at most {limits.STACKS:,} different stacks")
        if self._frames > limits.FRAMES:
            raise NotExpectedError(f"at most {limits.FRAMES:,} frames in all stacks together")
