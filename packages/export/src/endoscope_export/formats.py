"""The kinds of archives, by what their names end with."""

from __future__ import annotations

GZIP = "tar.gz"
ZSTD = "tar.zst"

FORMAT_NAMES = (GZIP, ZSTD)
"""The first one is made if nothing else is asked for."""
