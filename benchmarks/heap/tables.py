"""Tables in Markdown, and what is told meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence


def row(cells: Sequence[str]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(cells)} |"


def headings(titles: Sequence[str]) -> Iterator[str]:
    """Yield the first two lines of a table whose first column is text and the others numbers."""
    yield row(titles)
    yield row(["---", *["---:"] * (len(titles) - 1)])


def show(title: str, lines: Iterator[str]) -> None:
    """Print a table."""
    print(f"\n### {title}\n")
    for line in lines:
        print(line, flush=True)


def say(text: str) -> None:
    """Tell on standard error what is going on; standard output has the tables only."""
    print(text, file=sys.stderr, flush=True)
