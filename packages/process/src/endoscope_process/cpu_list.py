"""Lists of processors as the kernel writes them, such as `0-3,8`."""

from __future__ import annotations

from endoscope_process import proc


def count(text: str) -> int | None:
    """Return how many numbers a list has; None if it is of another form."""
    spans = [_span(part) for part in text.split(",")]
    if any(span is None for span in spans):
        return None
    return sum(span for span in spans if span is not None)


def _span(part: str) -> int | None:
    first, dash, last = part.partition("-")
    if not proc.is_number(first) or (dash and not proc.is_number(last)):
        return None
    return max(0, int(last or first) - int(first) + 1)
