"""Numbers of bytes and of objects, written for people."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(number: float) -> str:
    """Return bytes in the unit that suits them; a unit is 1000 times the one before it."""
    amount, unit = float(number), 0
    while abs(amount) >= 999.95 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.0f} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def count(number: float) -> str:
    """Return a number of objects, its thousands apart."""
    return f"{number:,.0f}"
