"""Tables for a terminal."""

from __future__ import annotations

from rich.table import Column, Table


def narrow(*heads: str | Column) -> Table:
    """Return a table without lines, of which many columns fit into 80."""
    return Table(*heads, box=None, pad_edge=False, padding=(0, 2, 0, 0))
