"""Folded stacks, one a line, as flame graph tools take them: `write`.

    main;Handler.get;load 1048576

Outermost frame first, then what the stack holds, in bytes or objects: estimates, rounded so that
their sum is the profile's. In frames `;`, `%` and control characters are written as `%` and two
hexadecimal digits, and so is a space where an innermost frame ends in a number, which
`flamegraph.pl` would take for a count.

The format has no place for what the numbers cover and how sure they are: its readers pass over a
line that is no stack with a warning, or take it for one. State it beside the file.

Growth is written with its sign. Of the tools that draw, `flamegraph.pl` and speedscope leave
lines with a minus out, so that what shrank is missing in their pictures; to see both, fold base
and target each by itself and join them with `difffolded.pl`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from endoscope_profiles.model import Frame, Profile
from endoscope_profiles.whole_numbers import rounded

_CHUNK_LINES = 1000

_UNNAMED = "[unnamed]"  # a frame without text would be lost
_TO_ESCAPE = re.compile(r"[\x00-\x1f%;\x7f]")
_SPACE_BEFORE_NUMBER = re.compile(r"\s(?=[0-9]+(\.[0-9]*)?$)")


def write(profile: Profile, *, objects: bool = False, lines: bool = False) -> Iterator[bytes]:
    """Yield `profile` in folded stacks, those that hold the most first.

    Stacks hold bytes, or the number of `objects`. Frames are functions, or with `lines`
    `function (file:line)`; stacks that read the same are one. Those that hold less than half a
    byte or object are left out.
    """
    names = _Names(lines)
    held: dict[str, float] = {}
    for sample in profile.samples:
        stack = names.folded(sample.stack)
        held[stack] = held.get(stack, 0.0) + (sample.objects if objects else sample.bytes)
    yield from _chunks(sorted(zip(rounded([*held.values()]), held, strict=True), key=_rank))


def _rank(line: tuple[int, str]) -> tuple[int, str]:
    return -line[0], line[1]


def _chunks(lines: list[tuple[int, str]]) -> Iterator[bytes]:
    for start in range(0, len(lines), _CHUNK_LINES):
        part = lines[start : start + _CHUNK_LINES]
        text = "".join(f"{stack} {number}\n" for number, stack in part if number)
        yield text.encode("utf-8", "replace")


class _Names(dict[Frame, str]):
    """Frames to what is written for them."""

    def __init__(self, lines: bool) -> None:
        super().__init__()
        self._lines = lines

    def __missing__(self, frame: Frame) -> str:
        text = frame.function or _UNNAMED
        if self._lines and frame.file:
            text += f" ({frame.where})"
        name = self[frame] = _TO_ESCAPE.sub(lambda found: f"%{ord(found[0]):02x}", text)
        return name

    def folded(self, stack: tuple[Frame, ...]) -> str:
        innermost = _SPACE_BEFORE_NUMBER.sub("%20", self[stack[0]])
        return ";".join([*map(self.__getitem__, stack[:0:-1]), innermost])
