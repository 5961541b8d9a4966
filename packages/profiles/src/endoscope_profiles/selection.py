"""Leaving out of a profile what one does not want to see. No amount is lost by hiding frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from endoscope_profiles.model import Frame, Profile, Sample, merge
from endoscope_profiles.origin import Origin, origin, process, thread

HIDDEN = Frame("[hidden]")
"""Stands for a stack all frames of which are hidden."""

SMALLER = Frame("[smaller stacks]")
"""Stands for the stacks that are not told apart any more."""

LIBRARY = frozenset({Origin.PACKAGE, Origin.STANDARD_LIBRARY})
"""Code that is not the application's own."""

Stack = tuple[Frame, ...]


def focus(profile: Profile, pattern: re.Pattern[str]) -> Profile:
    """Return the stacks of which a frame matches; `pattern` is searched in `text(frame)`."""
    matches = _Matches(pattern)
    return _kept(profile, lambda stack: any(map(matches.__getitem__, stack)))


def ignore(profile: Profile, pattern: re.Pattern[str]) -> Profile:
    """Return the stacks of which no frame matches, as in `focus`."""
    matches = _Matches(pattern)
    return _kept(profile, lambda stack: not any(map(matches.__getitem__, stack)))


def hide(profile: Profile, pattern: re.Pattern[str]) -> Profile:
    """Return all stacks without the frames that match, as in `focus`."""
    matches = _Matches(pattern)
    return _without(profile, matches.__getitem__)


def hide_origins(profile: Profile, origins: Collection[Origin]) -> Profile:
    """Return all stacks without the frames of these origins."""
    return _without(profile, lambda frame: origin(frame) in origins)


def fold_recursion(profile: Profile) -> Profile:
    """Return all stacks with what lies between two calls of one function taken out.

    Of `a` calls `b` calls `a` calls `c` remains `a` calls `c`, with the line of the inner `a`.
    """
    return _restacked(profile, _folded)


def largest(profile: Profile, most: int) -> Profile:
    """Return the `most` stacks that hold the most bytes, and all others as one.

    Where outermost frames say of which thread or process stacks are, as one of each of these.
    """
    others = (
        replace(sample, stack=(SMALLER, *filter(_is_owner, sample.stack[-1:])))
        for sample in profile.samples[most:]
    )
    if len(profile.samples) <= most:
        return profile
    return replace(profile, samples=merge((*profile.samples[:most], *others)))


def text(frame: Frame) -> str:
    """Return what a pattern is searched in: `function file:line`, without what is not known."""
    return f"{frame.function} {frame.where}" if frame.where else frame.function


class _Matches(dict[Frame, bool]):
    """Frames to whether they match. Each is searched once."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        super().__init__()
        self._pattern = pattern

    def __missing__(self, frame: Frame) -> bool:
        found = self[frame] = self._pattern.search(text(frame)) is not None
        return found


def _kept(profile: Profile, keeps: Callable[[Stack], bool]) -> Profile:
    return replace(profile, samples=tuple(each for each in profile.samples if keeps(each.stack)))


def _without(profile: Profile, hides: Callable[[Frame], bool]) -> Profile:
    def visible(stack: Stack) -> Stack:
        kept = tuple(frame for frame in stack if not hides(frame) or _is_owner(frame))
        return kept if kept and not _is_owner(kept[0]) else (HIDDEN, *kept)

    return _restacked(profile, visible)


def _is_owner(frame: Frame) -> bool:
    """Return whether a frame is no code, but says whose the stack is."""
    return bool(thread(frame) or process(frame))


def _restacked(profile: Profile, change: Callable[[Stack], Stack]) -> Profile:
    changed: Iterable[Sample] = (
        replace(sample, stack=change(sample.stack)) for sample in profile.samples
    )
    return replace(profile, samples=merge(changed))


def _folded(stack: Stack) -> Stack:
    path: list[Frame] = []
    depths: dict[tuple[str, str], int] = {}
    for frame in reversed(stack):
        key = (frame.function, frame.file)
        depth = depths.setdefault(key, len(path))
        for forgotten in path[depth + 1 :]:
            del depths[forgotten.function, forgotten.file]
        path[depth:] = [frame]
    return tuple(reversed(path))
