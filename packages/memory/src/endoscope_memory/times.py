"""How times are written."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(unix_seconds: float) -> str:
    """Return `unix_seconds` as RFC 3339 in UTC, such as `2026-01-31T23:59:00Z`."""
    moment = datetime.fromtimestamp(int(unix_seconds), UTC)
    return f"{moment.replace(tzinfo=None).isoformat()}Z"
