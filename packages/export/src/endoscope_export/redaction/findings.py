"""What is to be masked: where it begins, and what swallows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from endoscope_export.redaction.swallowing import Swallow

MASK = b"*" * 8

LOOKAHEAD = 2048
"""Whether something is masked is decided by at most so many bytes from its sign on."""

LOOKBEHIND = 256
"""... and by at most so many bytes before it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to mask from `start` on, known by a sign at `origin`; offsets into the data.

    What is `firm` is masked even if its sign lies within what another rule masks: its length
    is known, so it cannot get lost in there.
    """

    start: int
    origin: int
    rule: str
    swallow: Swallow
    firm: bool = False

    @property
    def end(self) -> int:
        """Where a firm one ends; where any other begins."""
        return self.start + getattr(self.swallow, "size", 0)

    def moved(self, by: int) -> Finding:
        """Return the finding in data to the front of which `by` bytes were added."""
        return replace(self, start=self.start + by, origin=self.origin + by)
