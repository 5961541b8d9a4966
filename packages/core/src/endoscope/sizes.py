"""Sizes as people read them."""

from __future__ import annotations


def size(count: int | None) -> str:
    """Return a number of bytes in the unit that suits it, `-` for an unknown one."""
    if count is None:
        return "-"
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
