"""Letting the host's threads have Python's lock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from endoscope import give_way

T = TypeVar("T")

_PER_TURN = 64
"""So many things take about a millisecond of Python, each of them a sign or a finding."""


def giving_way(things: Iterable[T]) -> Iterator[T]:
    """Yield `things`, and let others have their turn in between."""
    for turn, thing in enumerate(things, 1):
        yield thing
        if turn % _PER_TURN == 0:
            give_way()
