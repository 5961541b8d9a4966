"""`GET /export?preview=1` as text: what would be in an archive, and what would be masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from endoscope.printable import printable
from endoscope.sizes import size


def parts(answer: Mapping[str, Any]) -> Iterator[Table | str]:
    """Yield what is to be printed, in order."""
    table = Table("size", "content", "group", "masked", Column("path", overflow="fold"))
    for row in answer["members"]:
        cells = (
            size(row["bytes"]),
            row["content"] or "made on demand",
            row["group"],
            _counts(row["redactions"] or {}),
            row["path"],
        )
        table.add_row(*map(_shown, cells))
    yield table
    yield f"{size(answer['bytes'])} before compression; masked: {_counts(answer['redactions'])}"
    for row in answer["left_out"]:
        why = "not changed since then" if row["reason"] == "older" else f"group {row['group']}"
        yield _shown(f"left out: {row['path']} ({why})")
    for row in answer["failures"]:
        yield _shown(f"failed: {row['path'] or row['plugin']}: {row['message']} ({row['code']})")


def _shown(text: str) -> str:
    return escape(printable(text))


def _counts(redactions: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in redactions.items()) or "-"
