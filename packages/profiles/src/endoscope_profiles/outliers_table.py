"""Processes side by side, and what the outliers hold more, as text, CSV, or data for JSON."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from endoscope_profiles.amounts import size
from endoscope_profiles.coverage import EARLIER, coverage, how, how_much
from endoscope_profiles.csv_table import harmless
from endoscope_profiles.model import Frame
from endoscope_profiles.outliers import SCORE, TIMES, Excess, Outliers, Sibling, Standing
from endoscope_profiles.printable import printable

_WIDTH = 100
_FRAMES = 6
_LEAST_OF_PLACE = 12  # characters
_HEAD = ("pid", "taken", "resident", "times", "live", "± error", "times")
_WIDTHS = (9, 9, 10, 6, 10, 10, 6)
_EXCESS_HEAD = ("here", "elsewhere", "excess", "± error")
_EXCESS_WIDTHS = (10, 10, 11, 10)
_COLUMNS = (  # of `_record`, which are in a table, too
    "pid",
    "dump",
    "taken",
    "profiling_since",
    "resident_bytes",
    "resident_times_median",
    "live_bytes",
    "live_bytes_error",
    "times_median",
    "outlier",
)
_EXCESS_COLUMNS = ("bytes", "median_elsewhere", "excess", "excess_error")


def lines(found: Outliers, *, limit: int = 20) -> Iterator[str]:
    """Yield the lines of text, without their ends: a row per process, then outlier by outlier.

    `limit` is how many functions, or other places, are shown of each.
    """
    yield from _wrapped(_head(found))
    yield ""
    yield _row(("", *_HEAD), "dump")
    yield from map(_process, found.siblings)
    for each in found.outliers:
        yield ""
        yield from _wrapped([_why(each)])
        yield from _where(each, found.by, limit)


def data(found: Outliers, *, limit: int = 20) -> dict[str, Any]:
    """Return the same for JSON; sizes in bytes, times as the dumps have them."""
    return {
        "processes": [_record(each) for each in found.siblings],
        "outliers": [
            {
                "pid": _pid(each),
                "dump": each.dump,
                "excesses_in_all": len(each.excesses),
                "excesses": [
                    {**_excess_record(one), "frames": list(map(_frame, one.stack))}
                    for one in each.excesses[:limit]
                ],
            }
            for each in found.outliers
        ],
        "notes": [*found.notes, EARLIER],
    }


def csv_text(found: Outliers) -> bytes:
    """Return the processes as comma-separated values, UTF-8, as `csv_table` writes them.

    Below an outlier stands a row for each place that holds more there: it has the pid and the
    dump, and under `stack` and after it what a process's own row leaves empty.
    """
    written = io.StringIO()
    written.writelines(f"# {line}\r\n" for line in _head(found))
    table = csv.DictWriter(written, (*_COLUMNS, "stack", *_EXCESS_COLUMNS), extrasaction="ignore")
    table.writeheader()
    for each in found.siblings:
        record = {name: _cell(value) for name, value in _record(each).items()}
        table.writerow(record)
        for one in each.excesses:
            stack = harmless("\n".join(map(_place, one.stack)))
            which = {"pid": record["pid"], "dump": record["dump"], "stack": stack}
            table.writerow({**which, **_excess_record(one)})
    return written.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> Any:
    return harmless(value) if isinstance(value, str) else value


# --- data -----------------------------------------------------------------------------------


def _record(each: Sibling) -> dict[str, Any]:
    standings = {"live": each.live, "resident": each.resident}
    return {
        "pid": _pid(each),
        "dump": each.dump,
        "taken": each.covered.taken,
        "profiling_since": each.covered.since,
        "resident_bytes": each.covered.resident_bytes,
        "resident_times_median": _rounded(each.resident.times if each.resident else None),
        "live_bytes": round(each.live.bytes),
        "live_bytes_error": round(each.covered.live_bytes_error),
        "times_median": _rounded(each.live.times),
        "outlier": each.stands_out,
        "stands_out_by": [name for name, one in standings.items() if one and one.stands_out],
    }


def _pid(each: Sibling) -> int | None:
    """Return the process id; None if the dump does not say, or says what is none."""
    pid = each.covered.pid or ""
    return int(pid) if pid.isascii() and pid.isdigit() and len(pid) <= 20 else None


def _rounded(times: float | None) -> float | None:
    return None if times is None else round(times, 3)


def _excess_record(one: Excess) -> dict[str, int]:
    return {
        "bytes": round(one.bytes),
        "median_elsewhere": round(one.median),
        "excess": round(one.excess),
        "excess_error": round(one.error),
    }


def _frame(frame: Frame) -> dict[str, Any]:
    return {"function": frame.function, "file": frame.file or None, "line": frame.line or None}


# --- text -----------------------------------------------------------------------------------


def _head(found: Outliers) -> Iterator[str]:
    whole, number = coverage(found.whole), len(found.siblings)
    processes = "1 process" if number == 1 else f"{number} processes"
    taken = whole.taken or "an unknown time"
    when = f"from {whole.first_taken} to {taken}" if whole.first_taken else f"at {taken}"
    yield f"{processes} of {whole.service or 'a service'}, dumped {when}."
    yield how(whole)
    yield how_much(whole)
    yield from found.notes
    yield EARLIER
    yield _judgement(len(found.outliers))


def _judgement(number: int) -> str:
    what = (
        f"at least {TIMES:g} times the median of its siblings, and more above it than "
        f"{SCORE:g} times their spread"
    )
    if number == 0:
        return f"None stands out, which is to hold {what}."
    return f"{number} {'stands' if number == 1 else 'stand'} out (!), which is to hold {what}."


def _process(each: Sibling) -> str:
    resident = each.covered.resident_bytes
    cells = (
        "!" if each.stands_out else "",
        each.covered.pid or "?",
        (each.covered.taken or "?").partition("T")[2][:8] or "?",
        "?" if resident is None else size(resident),
        _times(each.resident),
        size(each.live.bytes),
        size(each.covered.live_bytes_error),
        _times(each.live),
    )
    return _row(cells, printable(each.dump))


def _row(cells: Sequence[str], dump: str) -> str:
    mark, *others = cells
    numbers = "".join(f"{cell:>{width}}" for cell, width in zip(others, _WIDTHS, strict=True))
    row = f"{mark:<2}{numbers}  "
    return row + _end_of(dump, _WIDTH - len(row))


def _times(standing: Standing | None) -> str:
    if standing is None or standing.times is None:
        return "-"
    return f"{standing.times:.1f}" if standing.times < 1000 else "999+"


def _where(each: Sibling, by: str, limit: int) -> Iterator[str]:
    if not each.excesses:
        yield "Its dump shows no place that surely holds more: it is not in what the profiler sees."
        return
    shown = each.excesses[:limit]
    yield f"By {by}, {len(shown)} of {len(each.excesses)} that surely hold more than elsewhere:"
    yield f"{_excess_row(_EXCESS_HEAD)}{by}"
    for one in shown:
        yield from _excess(one)


def _why(each: Sibling) -> str:
    said = [
        f"{size(standing.bytes)} {what}, where its siblings' median is {size(standing.median)}"
        for what, standing in (("live", each.live), ("resident", each.resident))
        if standing and standing.stands_out and standing.median is not None
    ]
    return f"Process {each.covered.pid or '?'} has {'; and '.join(said)}."


def _excess(one: Excess) -> Iterator[str]:
    numbers = (size(one.bytes), size(one.median), f"+{size(one.excess)}", size(one.error))
    begin, indent = _excess_row(numbers), " " * (sum(_EXCESS_WIDTHS) + 2)
    for frame in one.stack[:_FRAMES]:
        yield begin + _fitted(frame, _WIDTH - len(begin))
        begin = indent
    if len(one.stack) > _FRAMES:
        yield f"{indent}... {len(one.stack) - _FRAMES} more"


def _excess_row(cells: Sequence[str]) -> str:
    numbers = (f"{cell:>{width}}" for cell, width in zip(cells, _EXCESS_WIDTHS, strict=True))
    return "".join((*numbers, "  "))


def _place(frame: Frame) -> str:
    return printable(" ".join(part for part in (frame.function, frame.where) if part))


def _fitted(frame: Frame, width: int) -> str:
    """Return the frame's function, and as much of the end of its place as there is room for."""
    place = _place(frame)
    function = printable(frame.function)
    room = width - len(function) - 1
    if len(place) <= width or room < _LEAST_OF_PLACE:
        return place if len(place) <= width else f"{place[: width - 1]}…"
    return f"{function} {_end_of(place, room)}"


def _wrapped(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _end_of(text: str, width: int) -> str:
    """Return `text`, or where it is too long its end, in which names and paths differ."""
    return text if len(text) <= width else f"…{text[len(text) - width + 1 :]}"
