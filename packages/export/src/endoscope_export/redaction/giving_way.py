"""Letting the host's threads have Python's lock."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_PER_TURN = 64
"""So many things take about a millisecond of Python, each of them a sign or a finding."""

# To sleep for no time at all would take the lock back before anybody who waits for it is awake.
_SECONDS = 1e-5


def give_way() -> None:
    """Let others have their turn."""
    time.sleep(_SECONDS)


def giving_way(things: Iterable[T]) -> Iterator[T]:
    """Yield `things`, and let others have their turn in between."""
    for turn, thing in enumerate(things, 1):
        yield thing
        if turn % _PER_TURN == 0:
            give_way()
