"""Tables of text: with rules and colours on a terminal, plain where they are piped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from endoscope_profiles.printable import printable

_NUMBERS = frozenset(
    {"bytes", "failed", "files", "pid", "process", "processes", "seconds", "times"}
)


@dataclass(frozen=True, slots=True)
class Section:
    """A title and rows under a head, which is empty where rows explain themselves.

    The texts may come from anybody: whatever moves a cursor is escaped when they are shown.
    """

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def show(sections: Iterable[Section], console: Console) -> None:
    """Print sections that have rows, with an empty line between them."""
    for number, section in enumerate(each for each in sections if each.rows):
        if number:
            console.print()
        if console.is_terminal:
            console.print(_table(section))
        else:
            console.out(*plain_lines(section), sep="\n", highlight=False)


def _table(section: Section) -> Table:
    table = Table(
        title=section.title,
        title_justify="left",
        title_style="bold",
        show_header=bool(section.head),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in section.head or [""] * len(section.rows[0]):
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    for row in section.rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def plain_lines(section: Section) -> Iterator[str]:
    """Yield a section as lines, its columns aligned."""
    yield section.title
    rows = [row for row in (section.head, *section.rows) if row]
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = [name in _NUMBERS for name in section.head] or [False] * len(widths)
    for row in cells:
        columns = zip(row, widths, numbers, strict=True)
        padded = (c.rjust(width) if number else c.ljust(width) for c, width, number in columns)
        yield ("  " + "  ".join(padded)).rstrip()
