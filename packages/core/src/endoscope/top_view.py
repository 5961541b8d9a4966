"""`GET /memory/top` as text: the whole first, then stack after stack, innermost frame first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from endoscope.sizes import size


def lines(answer: Mapping[str, Any], frames: int) -> Iterator[str]:
    """Yield the lines; of each stack at most `frames` frames."""
    yield from _whole(answer)
    for stack in answer["stacks"]:
        yield ""
        yield from _stack(stack, frames)
    if rest := answer["stacks_in_all"] - len(answer["stacks"]):
        yield f"\n... and {rest} smaller stacks"


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
