"""`GET /processes` as a table, in which those that hold more memory than their siblings stand out.

What plugins tell of each process becomes columns, whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from rich.markup import escape
from rich.table import Table

from endoscope.replies import pids_text
from endoscope.sizes import size
from endoscope.tables import narrow
from endoscope.values import duration, value

# As `GET /memory/outliers` judges: so many times the median of its siblings, and more above it
# than so many of their median absolute deviations (as a standard deviation, 1.4826 of them).
_TIMES = 1.5
_SCORE = 3.5 * 1.4826
# The door needs about 20 MB more than its siblings, to serve; that is no sign of anything.
_LEAST_EXCESS_BYTES = 32_000_000
# In columns of their own, or, the start, told by the uptime.
_OWN = frozenset(
    ("pid", "parent", "role", "process_started", "uptime_seconds", "resident_bytes", "state")
)
_BYTES = "_bytes"

Rows = Sequence[Mapping[str, Any]]


def parts(rows: Rows) -> Iterator[Table | str]:
    """Yield what is to be printed, in order."""
    times = _times_median(rows)
    facts = [*dict.fromkeys(name for row in rows for name in row if name not in _OWN)]
    heads = ("pid", "role", "parent", "up", "resident", "times", *map(_head, facts), "state")
    table = narrow(*heads)
    for row, (ratio, stands_out) in zip(rows, times, strict=True):
        told = [_fact(name, row.get(name)) for name in facts]
        cells = (*_cells(row), _ratio(ratio, stands_out=stands_out), *told, row["state"])
        table.add_row(*map(escape, cells), style=_style(row["state"], stands_out=stands_out))
    yield table
    outliers = [row["pid"] for row, (_, stands_out) in zip(rows, times, strict=True) if stands_out]
    if outliers:
        yield f"! far more resident memory than the others: {pids_text(outliers)}"
        yield "  which functions hold it: endoscope dump, then endoscope outliers"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    up, resident = duration(row["uptime_seconds"]), size(row["resident_bytes"])
    return value(row["pid"]), value(row["role"]), value(row["parent"]), up, resident


def _head(fact: str) -> str:
    return fact.removesuffix(_BYTES).replace("_", " ")


def _fact(name: str, of: Any) -> str:
    return size(of) if name.endswith(_BYTES) and isinstance(of, int) else value(of)


def _ratio(ratio: float | None, *, stands_out: bool) -> str:
    return "-" if ratio is None else f"{ratio:.1f}{' !' if stands_out else ''}"


def _style(state: str, *, stands_out: bool) -> str:
    if stands_out:
        return "bold"
    return "" if state == "serving" else "yellow"


def _times_median(rows: Rows) -> list[tuple[float | None, bool]]:
    """Return how many times the median of its siblings each row holds, and if it stands out.

    Siblings are all but the row itself, which of few would shift the median towards itself.
    """
    known = [row["resident_bytes"] for row in rows if row["resident_bytes"]]
    return [_beside(row["resident_bytes"], known) for row in rows]


def _beside(amount: int | None, known: Sequence[int]) -> tuple[float | None, bool]:
    if not amount or len(known) < 2:
        return None, False
    others = list(known)
    others.remove(amount)
    middle = median(others)
    spread = _SCORE * median(abs(other - middle) for other in others)
    excess = amount - middle
    far = excess > max(spread, _LEAST_EXCESS_BYTES)
    return amount / middle, amount >= _TIMES * middle and far
