"""Healthy work: allocates as much as the leaks do, in Python and natively, and frees it."""

from __future__ import annotations

import json
import zlib

ROWS = 4_000


def build_report() -> bytes:
    """Return a report of a few thousand rows as JSON."""
    rows = [{"row": row, "label": f"row {row}", "squares": [row, row * row]} for row in range(ROWS)]
    return json.dumps(rows).encode()


def compress_report() -> bytes:
    """Return the report as one finished zlib stream."""
    return zlib.compress(build_report(), level=1)
