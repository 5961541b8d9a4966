"""How times are written."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(unix_seconds: float, timespec: str = "seconds") -> str:
    """Return `unix_seconds` as RFC 3339 in UTC, such as `2026-01-31T23:59:00Z`.

    `timespec` is what `datetime.isoformat` takes: how much of the seconds is written.
    """
    moment = datetime.fromtimestamp(unix_seconds, UTC).replace(tzinfo=None)
    return f"{moment.isoformat(timespec=timespec)}Z"
