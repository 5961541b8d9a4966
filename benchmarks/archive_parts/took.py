"""What one making of an archive took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Took:
    """Seconds on the clock and of CPU, and the size of what came out."""

    seconds: float
    cpu: float
    bytes: int
