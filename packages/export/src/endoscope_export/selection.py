"""Which members a request asks for: by group, and by when they were changed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from endoscope import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class Selection:
    """What goes into an archive: the groups in `only` (None: all), less `without`.

    Of files only those that were changed after `since`, Unix seconds.
    """

    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    since: float | None = None

    def takes(self, group: str) -> bool:
        """Say whether members of `group` are asked for."""
        return group not in self.without and (self.only is None or group in self.only)

    def check(self, known: frozenset[str]) -> None:
        """Raise `BadRequestError`, naming the `known` groups, if any other is asked for."""
        unknown = ((self.only or frozenset()) | self.without) - known
        if unknown:
            raise BadRequestError(
                f"No such group of archive members: {_listed(unknown)}",
                remedy=f"Use any of these, separated by commas: {_listed(known)}",
                code="unknown_group",
            )


def parse_selection(query: Mapping[str, str], now: float) -> Selection:
    """Read `only` and `without` (comma-separated groups) and `since` from a request's query.

    Raises `BadRequestError` for a list that is there and names no group, and for a time that
    is none or lies after `now` (Unix seconds).
    """
    return Selection(
        only=_groups(query, "only"),
        without=_groups(query, "without") or frozenset(),
        since=_since(query["since"], now) if "since" in query else None,
    )


def _groups(query: Mapping[str, str], parameter: str) -> frozenset[str] | None:
    if parameter not in query:
        return None
    groups = frozenset(name.strip() for name in query[parameter].split(",")) - {""}
    if not groups:
        raise BadRequestError(
            f"The parameter '{parameter}' names no group",
            remedy=f"Write {parameter}=GROUP,GROUP, or leave the parameter out",
        )
    return groups


def _since(text: str, now: float) -> float:
    duration = _DURATION.fullmatch(text)
    try:
        moment = now - int(duration[1]) * _SECONDS[duration[2]] if duration else _moment(text)
    except (ValueError, OverflowError):
        raise _no_time(f"since={text!r} is no time and no duration") from None
    if not math.isfinite(moment) or moment > now:
        raise _no_time(f"since={text!r} is a time that is still to come")
    return max(0.0, moment)


def _moment(text: str) -> float:
    """Return a time as Unix seconds: these themselves, or RFC 3339, UTC if it names no zone."""
    if _UNIX_SECONDS.fullmatch(text):
        return float(text)
    # In a query that was not encoded, the `+` of a zone has become a space.
    moment = datetime.fromisoformat(text.replace(" ", "+"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _no_time(message: str) -> BadRequestError:
    return BadRequestError(
        message,
        remedy="Write how long ago (90s, 30m, 12h, 7d), when (2026-03-01T12:00:00Z), or Unix "
        "seconds.",
        code="bad_parameter",
    )


def _listed(groups: frozenset[str]) -> str:
    return ", ".join(sorted(groups))
