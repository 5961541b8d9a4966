"""The biggest functions, lines, files, packages or threads, as a table of text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from endoscope_profiles.aggregate import Row, aggregate
from endoscope_profiles.amounts import count, size
from endoscope_profiles.comparison import since
from endoscope_profiles.coverage import statement_since
from endoscope_profiles.model import Frame, Profile, Sample
from endoscope_profiles.printable import printable

_HEAD = ("own", "± error", "share", "so far", "with callees", "share")


def lines(  # noqa: PLR0913  the options of one view
    profile: Profile,
    *,
    by: str = "function",
    objects: bool = False,
    limit: int = 20,
    base: Profile | None = None,
    coverage: Sequence[str] | None = None,
) -> Iterator[str]:
    """Yield the lines of text, without their ends; what the numbers cover comes first.

    `coverage` is that in lines, if not what `statement` says of the profile.

    `by` is what `aggregate` takes; `objects` counts blocks instead of bytes. With a `base`
    the table is about what `profile` holds more than it, and each number has its sign.
    """
    shown = since(base, profile)
    yield from statement_since(base, profile) if coverage is None else coverage
    yield ""
    rows = aggregate(shown, by)
    if objects:
        rows = tuple(sorted(rows, key=lambda row: -row.own.objects))
    yield _title(by, objects, limit, len(rows))
    yield from _table(rows[:limit], by, _Column(shown, objects, base is not None))


def _title(by: str, objects: bool, limit: int, in_all: int) -> str:
    what = "blocks" if objects else "bytes"
    places = f"{by}es" if by.endswith("s") else f"{by}s"
    which = f"The {limit} {places}" if limit < in_all else f"All {places}"
    return f"{which} of {in_all} by the {what} that they allocated themselves:"


class _Column:
    """Amounts as they stand in a column: bytes or objects, signed in a comparison."""

    def __init__(self, profile: Profile, objects: bool, signed: bool) -> None:
        self._objects = objects
        self._signed = signed
        values = [self.value(sample) for sample in profile.samples]
        self._gained = math.fsum(value for value in values if value > 0)
        self._lost = -math.fsum(value for value in values if value < 0)

    def value(self, sample: Sample) -> float:
        return sample.objects if self._objects else sample.bytes

    def amount(self, sample: Sample) -> str:
        value = self.value(sample)
        return ("+" if self._signed and value > 0 else "") + self._written(value)

    def error(self, sample: Sample) -> str:
        return self._written(sample.objects_error if self._objects else sample.bytes_error)

    def share(self, value: float) -> str:
        """Return the part of the whole; of all that was gained, or lost, in a comparison."""
        whole = self._lost if value < 0 else self._gained
        return f"{abs(value) / whole:.1%}" if whole else "-"

    def _written(self, value: float) -> str:
        return count(value) if self._objects else size(value)


def _table(rows: Sequence[Row], by: str, column: _Column) -> Iterator[str]:
    yield _line(_HEAD, by)
    so_far = 0.0
    for row in rows:
        so_far += max(column.value(row.own), 0.0)
        numbers = (
            column.amount(row.own),
            column.error(row.own),
            column.share(column.value(row.own)),
            column.share(so_far),
            column.amount(row.total),
            column.share(column.value(row.total)),
        )
        yield _line(numbers, place(row.place))


def _line(numbers: Sequence[str], name: str) -> str:
    return "  ".join((*(f"{number:>12}" for number in numbers), name))


def place(frame: Frame) -> str:
    """Return a frame as it stands in a table: its function, and its file and line if known."""
    return printable("  ".join(part for part in (frame.function, frame.where) if part))
