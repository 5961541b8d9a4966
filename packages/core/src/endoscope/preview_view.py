"""`GET /export?preview=1` as text: what would be in an archive, and what would be masked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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
    yield from map(_shown, _left_out(answer["left_out"]))
    for row in answer["failures"]:
        yield _shown(f"failed: {_what(row)}: {row['message']} ({row['code']})")


def _left_out(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each file; what several processes have alike is one."""
    alike = Counter((_in_its_folder(row), row["group"], row["reason"]) for row in rows)
    for (path, group, reason), number in alike.items():
        why = "not changed since then" if reason == "older" else f"group {group}"
        of = f" of {number} processes" if number > 1 else ""
        yield f"left out: {path}{of} ({why})"


def _in_its_folder(row: Mapping[str, Any]) -> str:
    process = row["process"]
    return str(row["path"]).removeprefix(f"processes/{process}/")


def _what(failure: Mapping[str, Any]) -> str:
    """Return the file that failed, or else the plugin, and of several processes the one."""
    if failure["path"] is not None:
        return str(failure["path"])
    process = failure["process"]
    return str(failure["plugin"]) + ("" if process is None else f" in process {process}")


def _shown(text: str) -> str:
    return escape(printable(text))


def _counts(redactions: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in redactions.items()) or "-"
