"""`GET /memory/top` as text: the whole first, then stack after stack, innermost frame first.

Of several processes a row each, then the stacks of the one that holds the most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from endoscope.printable import printable
from endoscope.replies import Reply
from endoscope.sizes import size
from endoscope.tables import narrow

_HEADS = ("pid", "live", "± error", "resident", "share")


def lines(answer: Mapping[str, Any], frames: int) -> Iterator[str]:
    """Yield the lines; of each stack at most `frames` frames."""
    yield from _whole(answer)
    for stack in answer["stacks"]:
        yield ""
        yield from _stack(stack, frames)
    if rest := answer["stacks_in_all"] - len(answer["stacks"]):
        yield f"\n... and {rest} smaller stacks"


def most_first(replies: Sequence[Reply]) -> list[Reply]:
    """Return processes by what they hold."""
    return sorted(replies, key=lambda reply: (-reply.answer["live_bytes"], reply.pid))


def table_of_all(replies: Sequence[Reply]) -> Table:
    """Return what each process holds, and how much of it where the most is."""
    rows = narrow(*_HEADS, Column("of it in", overflow="fold"))
    for reply in replies:
        answer = reply.answer
        biggest = answer["stacks"][:1]
        cells = (
            str(reply.pid),
            size(answer["live_bytes"]),
            size(answer["live_bytes_error"]),
            size(answer["resident_bytes"]),
            *(f"{stack['share']:.0%}" for stack in biggest),
            *(printable(_place(stack["frames"][0])) for stack in biggest if stack["frames"]),
        )
        rows.add_row(*map(escape, cells))
    return rows


def _whole(answer: Mapping[str, Any]) -> Iterator[str]:
    error = size(answer["live_bytes_error"])
    yield f"{size(answer['live_bytes'])} ± {error} live, of what was allocated since " + (
        answer["profiling_since"] or "profiling began"
    )
    if answer["coverage"] is not None:
        resident = size(answer["resident_bytes"])
        yield f"  that is {answer['coverage']:.0%} of {resident} of resident memory"
    interval = answer["sample_interval_bytes"]
    how = f"one sample per {interval} bytes" if interval > 1 else "every allocation"
    yield f"  {answer['profiler'] or 'a profiler'}, {how}: {answer['sees'] or 'native stacks'}"
    yield from (f"  {note}" for note in answer["notes"])


def _stack(stack: Mapping[str, Any], frames: int) -> Iterator[str]:
    shown, cut = stack["frames"][:frames], len(stack["frames"]) - frames
    amount = f"{size(stack['bytes'])} ± {size(stack['bytes_error'])}"
    yield f"{stack['share']:6.1%}  {amount} in {stack['objects']} ± {stack['objects_error']} blocks"
    for frame in shown:
        yield f"        {_place(frame)}"
    if cut > 0:
        yield f"        ... {cut} more"


def _place(frame: Mapping[str, Any]) -> str:
    if frame["file"] is None:
        return str(frame["function"])
    line = f":{frame['line']}" if frame["line"] else ""
    return f"{frame['function']}  {frame['file']}{line}"
