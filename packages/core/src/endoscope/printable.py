"""Text of strangers on somebody's terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text that moves no cursor: whatever cannot be printed is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
