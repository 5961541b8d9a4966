"""Every function, line, file, package or thread, as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from endoscope_profiles.aggregate import Row, aggregate
from endoscope_profiles.comparison import since
from endoscope_profiles.coverage import statement_since
from endoscope_profiles.model import Profile, Sample

COLUMNS = (
    "function",
    "file",
    "line",
    "bytes",
    "bytes_error",
    "objects",
    "objects_error",
    "total_bytes",
    "total_bytes_error",
    "total_objects",
    "total_objects_error",
)
"""`total_` includes what was called from there; `_error` is a standard error."""

_ROWS_AT_ONCE = 1000
# What a spreadsheet would take for a formula: a dump may come from anywhere.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(
    profile: Profile,
    *,
    by: str = "function",
    base: Profile | None = None,
    coverage: Sequence[str] | None = None,
) -> Iterator[bytes]:
    """Yield UTF-8 text: lines beginning with `#` that say what it covers, `COLUMNS`, the rows.

    `coverage` is what it covers, in lines, if not what `statement` says of the profile. `by` is
    what `aggregate` takes. With a `base` the numbers are what `profile` holds more
    than it. A text that a spreadsheet would take for a formula has a `'` in front.
    """
    covered = statement_since(base, profile) if coverage is None else coverage
    yield "".join(f"# {line}\r\n" for line in covered).encode()
    yield _text([COLUMNS])
    rows = aggregate(since(base, profile), by)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield _text(map(_cells, rows[start : start + _ROWS_AT_ONCE]))


def _text(rows: Iterable[Sequence[object]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode("utf-8", "replace")


def _cells(row: Row) -> tuple[object, ...]:
    return (
        harmless(row.place.function),
        harmless(row.place.file),
        row.place.line or "",
        *_numbers(row.own),
        *_numbers(row.total),
    )


def _numbers(sample: Sample) -> tuple[int, int, int, int]:
    return (
        round(sample.bytes),
        round(sample.bytes_error),
        round(sample.objects),
        round(sample.objects_error),
    )


def harmless(text: str) -> str:
    """Return `text` so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
