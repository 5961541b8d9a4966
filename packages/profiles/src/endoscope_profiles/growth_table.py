"""The suspects of a leak, as text, comma-separated values, or data for JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from endoscope_profiles.amounts import size
from endoscope_profiles.coverage import EARLIER, coverage, how, how_much
from endoscope_profiles.csv_table import harmless
from endoscope_profiles.growth import SURE, Growth, Suspect
from endoscope_profiles.table import place

_FRAMES = 6
_COLUMNS = (  # of `_record`, which are in a table, too
    "growth_bytes",
    "growth_error_bytes",
    "bytes_per_hour",
    "bytes_per_hour_error",
    "confidence",
    "grew_in",
    "intervals",
)


def lines(growth: Growth, *, limit: int = 20) -> Iterator[str]:
    """Yield the lines of text, without their ends: what was compared, then suspect by suspect."""
    yield from _series(growth)
    yield ""
    if len(growth.profiles) == 1:
        return
    if not growth.suspects:
        yield f"No stack grew in every interval, nor for sure ({SURE:.0%})."
        return
    shown = growth.suspects[:limit]
    yield f"The {len(shown)} suspects with the most growth, of {len(growth.suspects)}:"
    for number, suspect in enumerate(shown, 1):
        yield ""
        yield from _suspect(number, suspect)


def data(growth: Growth, *, limit: int = 20) -> dict[str, Any]:
    """Return the same for JSON; sizes in bytes, times as the dumps have them."""
    return {
        "dumps": [
            {
                "taken": covered.taken,
                "live_bytes": round(covered.live_bytes),
                "live_bytes_error": round(covered.live_bytes_error),
                "resident_bytes": covered.resident_bytes,
                "profiling_since": covered.since,
                "sample_interval_bytes": covered.interval_bytes,
            }
            for covered in map(coverage, growth.profiles)
        ],
        "suspects_in_all": len(growth.suspects),
        "suspects": [_record(suspect) for suspect in growth.suspects[:limit]],
        "notes": [*growth.notes, EARLIER],
    }


def csv_text(growth: Growth) -> bytes:
    """Return all suspects as comma-separated values, UTF-8, as `csv_table` writes them.

    The frames of a stack stand in one cell, one a line.
    """
    written = io.StringIO()
    written.writelines(f"# {line}\r\n" for line in _series(growth))
    table = csv.writer(written)
    table.writerow([*_COLUMNS, "stack"])
    for suspect in growth.suspects:
        record = _record(suspect)
        stack = harmless("\n".join(map(place, suspect.stack)))
        table.writerow([*(record[name] for name in _COLUMNS), stack])
    return written.getvalue().encode("utf-8", "replace")


def _record(suspect: Suspect) -> dict[str, Any]:
    return {
        "growth_bytes": round(suspect.growth),
        "growth_error_bytes": round(suspect.growth_error),
        "bytes_per_hour": _rounded(suspect.per_hour),
        "bytes_per_hour_error": _rounded(suspect.per_hour_error),
        "confidence": round(suspect.confidence, 6),
        "grew_in": suspect.grew_in,
        "intervals": len(suspect.bytes) - 1,
        "bytes": [round(size) for size in suspect.bytes],
        "frames": [
            {"function": frame.function, "file": frame.file or None, "line": frame.line or None}
            for frame in suspect.stack
        ],
    }


def _rounded(number: float | None) -> int | None:
    return None if number is None else round(number)


def _series(growth: Growth) -> Iterator[str]:
    first, last = coverage(growth.profiles[0]), coverage(growth.profiles[-1])
    service = last.service or "a process"
    pid = f" (pid {last.pid})" if last.pid else ""
    yield (
        f"Growth of {service}{pid} over {len(growth.profiles)} dumps, from "
        f"{first.taken or 'an unknown time'} to {last.taken or 'an unknown time'}."
    )
    yield f"First: {how_much(first)}"
    yield f"Last: {how_much(last)}"
    yield how(last)
    yield from growth.notes
    yield EARLIER


def _suspect(number: int, suspect: Suspect) -> Iterator[str]:
    intervals = len(suspect.bytes) - 1
    yield (
        f"{number:>3}. +{size(suspect.growth)} ± {size(suspect.growth_error)}{_slope(suspect)}; "
        f"grew in {suspect.grew_in} of {intervals} intervals; confidence {_confidence(suspect)}"
    )
    for frame in suspect.stack[:_FRAMES]:
        yield f"       {place(frame)}"
    if len(suspect.stack) > _FRAMES:
        yield f"       ... {len(suspect.stack) - _FRAMES} more"


def _slope(suspect: Suspect) -> str:
    if suspect.per_hour is None or suspect.per_hour_error is None:
        return ""
    return f", {size(suspect.per_hour)} ± {size(suspect.per_hour_error)} per hour"


def _confidence(suspect: Suspect) -> str:
    return "over 99.9%" if suspect.confidence > 0.999 else f"{suspect.confidence:.1%}"
