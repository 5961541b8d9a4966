"""What is to be made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from endoscope import HostIdentity
    from endoscope_export.limits import Limits
    from endoscope_export.selection import Selection


@dataclass(frozen=True, slots=True)
class Order:
    """One archive: when it was asked for, of whom, what, within which limits.

    `made` is in Unix seconds, `began` the same moment by `time.monotonic()`.
    """

    made: float
    began: float
    host: HostIdentity
    selection: Selection
    limits: Limits
