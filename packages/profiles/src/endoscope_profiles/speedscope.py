"""speedscope's file format: `write`.

A file holds one profile for bytes and one for objects, between which speedscope switches, with the
frames that they share. Weights are estimates, rounded so that their sum is the profile's. The
names of the profiles, on top of speedscope's window, tell the sum and its standard error. What
it covers would not fit there: it follows the title in the file's name, which the window has.

speedscope refuses weights below zero. So growth makes up to four profiles: what grew and what
shrank, in bytes and in objects; the growth is the difference of their sums.

The format is that of `file-format-spec.ts` in github.com/jlfwong/speedscope.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from endoscope_profiles.amounts import count, size
from endoscope_profiles.coverage import statement
from endoscope_profiles.model import Frame, Profile
from endoscope_profiles.whole_numbers import rounded

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_EXPORTER = "endoscope-profiles"


def write(
    profile: Profile, *, title: str, coverage: Sequence[str] | None = None
) -> Iterator[bytes]:
    """Yield `profile` as a file for speedscope, the name of which should end in `.speedscope.json`.

    `coverage` is what the numbers cover, in lines, if not what `statement` says of the profile.
    Stacks that begin alike are neighbours, and those stand on the left that begin like the ones
    with the most bytes.
    """
    frames = _Frames()
    stacks = [[frames[frame] for frame in reversed(sample.stack)] for sample in profile.samples]
    order = sorted(range(len(stacks)), key=stacks.__getitem__)
    samples = _json([stacks[at] for at in order])
    covered = statement(profile) if coverage is None else coverage
    yield _head(" ".join((f"{title}.", *covered)), frames)
    separator = b""
    for amounts in _both_amounts(profile):
        for name, weights in _weights(amounts):
            yield separator + _profile(amounts, name, weights, order)
            yield samples + b"}"
            separator = b","
    yield b"]}\n"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class _Frames(dict[Frame, int]):
    """Frames to their indexes among the shared ones."""

    def __missing__(self, frame: Frame) -> int:
        index = self[frame] = len(self)
        return index


def _head(name: str, frames: _Frames) -> bytes:
    """Return the file as far as where the profiles begin."""
    head = {"$schema": _SCHEMA, "exporter": _EXPORTER, "name": name, "activeProfileIndex": 0}
    shared = {"frames": list(map(_frame, frames))}
    return _json({**head, "shared": shared})[:-1] + b',"profiles":['


def _frame(frame: Frame) -> dict[str, str | int]:
    place: dict[str, str | int] = {"file": frame.file, "line": frame.line}
    return {"name": frame.function, **{key: value for key, value in place.items() if value}}


class _Amounts(NamedTuple):
    """One amount of every sample, and its variance. `shown` writes it for people."""

    name: str
    unit: str
    shown: Callable[[float], str]
    numbers: Sequence[int]
    variances: Sequence[float]


def _both_amounts(profile: Profile) -> Iterator[_Amounts]:
    numbers = rounded([sample.bytes for sample in profile.samples])
    variances = [sample.bytes_variance for sample in profile.samples]
    yield _Amounts("Bytes", "bytes", size, numbers, variances)
    numbers = rounded([sample.objects for sample in profile.samples])
    variances = [sample.objects_variance for sample in profile.samples]
    yield _Amounts("Objects", "none", count, numbers, variances)


def _weights(amounts: _Amounts) -> Iterator[tuple[str, list[int]]]:
    """Yield the name and weights of each profile; speedscope passes over weights of 0."""
    if min(amounts.numbers, default=0) >= 0:
        yield amounts.name, [*amounts.numbers]
    else:
        yield f"{amounts.name} grown", [max(number, 0) for number in amounts.numbers]
        yield f"{amounts.name} shrunk", [max(-number, 0) for number in amounts.numbers]


def _profile(amounts: _Amounts, name: str, weights: list[int], order: Sequence[int]) -> bytes:
    """Return a profile as far as where its stacks begin, which are in this order."""
    total = sum(weights)
    weighed = zip(weights, amounts.variances, strict=True)
    error = math.sqrt(math.fsum(variance for weight, variance in weighed if weight))
    head = {
        "type": "sampled",
        "name": f"{name}: {amounts.shown(total)} ± {amounts.shown(error)} (± standard error)",
        "unit": amounts.unit,
        "startValue": 0,
        "endValue": total,
        "weights": [weights[at] for at in order],
    }
    return _json(head)[:-1] + b',"samples":'
