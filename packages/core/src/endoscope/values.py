"""Values of answers as people read them."""

from __future__ import annotations

from typing import Any

from endoscope.printable import printable

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def value(of: Any) -> str:
    """Return a value of JSON in words: `yes` or `no`, `-` for none, else its text."""
    if isinstance(of, bool):
        return "yes" if of else "no"
    return "-" if of is None else printable(str(of))


def duration(seconds: float) -> str:
    """Return a time in the largest unit that it fills, and the next one: `2h 5m`."""
    left = int(seconds)
    first = next((n for n, (_, length) in enumerate(_UNITS) if left >= length), len(_UNITS) - 1)
    words: list[str] = []
    for unit, length in _UNITS[first : first + 2]:
        count, left = divmod(left, length)
        if count or not words:
            words.append(f"{count}{unit}")
    return " ".join(words)
