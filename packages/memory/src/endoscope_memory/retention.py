"""Which dumps have to go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from endoscope_memory.listing import Dump

MOST_DUMPS = 1000
"""How many dumps are kept of all processes together, since workers come and go."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many dumps of each process are kept, and how many bytes of all together."""

    dumps: int
    bytes: int


def trim(dumps: Sequence[Dump], limits: Limits, went: Callable[[Dump], bool]) -> None:
    """Have go what is beyond the limits, the oldest first: of each process, and then of all.

    `dumps` are the newest first. `went` deletes one if it may and can, and returns whether it is
    gone: one that stays counts, and another goes in its place.
    """
    left = _Left(dumps, limits)
    for is_beyond in (left.are_too_many_of_its_process, left.are_too_many):
        for dump in reversed(dumps):
            if dump in left and is_beyond(dump) and went(dump):
                left.remove(dump)


class _Left:
    """The dumps that are left, and how many, and of whom."""

    def __init__(self, dumps: Sequence[Dump], limits: Limits) -> None:
        self._limits = limits
        self._dumps = set(dumps)
        self._of_process = Counter(dump.pid for dump in dumps)
        self._bytes = sum(dump.size for dump in dumps)

    def __contains__(self, dump: Dump) -> bool:
        return dump in self._dumps

    def are_too_many_of_its_process(self, dump: Dump) -> bool:
        return self._of_process[dump.pid] > self._limits.dumps

    def are_too_many(self, _dump: Dump) -> bool:
        return len(self._dumps) > MOST_DUMPS or self._bytes > self._limits.bytes

    def remove(self, dump: Dump) -> None:
        self._dumps.remove(dump)
        self._of_process[dump.pid] -= 1
        self._bytes -= dump.size
