"""How many archives are made at once, and who is having one made."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from endoscope import BusyError
from endoscope_export.manifest import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class Turn:
    """An archive that is being made: for whom, since when (Unix seconds), and how far it is."""

    principal: str
    began: float
    sent_bytes: int = 0

    def __str__(self) -> str:
        return (
            f"for {self.principal or 'an unnamed client'}, begun {rfc3339(self.began)}, "
            f"{self.sent_bytes} bytes taken so far"
        )


class Turns:
    """Gives out `most` turns at a time.

    The turns that are taken stand in a dictionary, whose operations are atomic: a lock would be
    one between greenlets where gevent has patched them.
    """

    def __init__(self, most: int) -> None:
        self._free = list(range(most))
        self._taken: dict[int, Turn] = {}

    @contextmanager
    def taken(self, principal: str) -> Iterator[Turn]:
        """Take a turn and give it back in the end. Raises `BusyError` if there is none."""
        try:
            number = self._free.pop()
        except IndexError:
            raise self._busy() from None
        try:
            self._taken[number] = turn = Turn(principal, time.time())
            yield turn
        finally:
            self._taken.pop(number, None)
            self._free.append(number)

    def _busy(self) -> BusyError:
        running = "; ".join(map(str, list(self._taken.values())))
        return BusyError(
            f"As many archives as are allowed are being made already: {running}",
            remedy="Try again when one is done, or raise export.max_concurrent",
            code="export_running",
        )
