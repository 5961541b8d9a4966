"""Which of several processes of a service hold more than their siblings, and where."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from endoscope_profiles.addition import add
from endoscope_profiles.aggregate import PLACES
from endoscope_profiles.coverage import Coverage, coverage, time_in
from endoscope_profiles.model import Frame, Profile, Sample, merge

TIMES = 1.5
"""So many times the median of its siblings a process must hold to stand out."""

SCORE = 3.5
"""So many times their spread it must lie above that median."""

BY = ("function", "stack", "line", "file", "package")
"""What the excess of a process can be told by."""

ONLY_ONE = "Outliers show between processes, and here is only one."
ONLY_TWO = "Of two processes nothing tells which is the odd one: the one that holds more is marked."

_MAD_TO_DEVIATION = 1.4826  # of normally distributed values
_ALL = Frame("[all]")
_SURE = 2.0  # standard errors that an excess must have
_SECONDS_APART = 60.0

Stack = tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """An amount of one process, in bytes, and how it compares with that of its siblings.

    `median` is theirs, None without any.
    """

    bytes: float
    median: float | None
    stands_out: bool

    @property
    def times(self) -> float | None:
        """Return how many times the median it is; None where that is nothing."""
        return self.bytes / self.median if self.median else None


@dataclass(frozen=True, slots=True)
class Excess:
    """A function, or another place, that holds more in one process than in its siblings.

    In bytes; `error` is the standard error of `excess`, which is `bytes` less the siblings'
    `median`.
    """

    stack: Stack
    bytes: float
    median: float
    excess: float
    error: float


@dataclass(frozen=True, slots=True)
class Sibling:
    """One process, by its dump, and how it stands beside the others.

    `resident` is None where one of them does not say. `excesses` are looked for if it stands out
    only, the most first.
    """

    dump: str
    covered: Coverage
    live: Standing
    resident: Standing | None
    excesses: tuple[Excess, ...] = ()

    @property
    def stands_out(self) -> bool:
        """Return whether it stands out by its live or by its resident bytes."""
        return self.live.stands_out or bool(self.resident and self.resident.stands_out)


@dataclass(frozen=True, slots=True)
class Outliers:
    """Processes side by side, the most live bytes first.

    `whole` has what all of them hold, as one sample, and their facts. `by` is one of `BY`.
    `notes` says what makes the comparison less telling.
    """

    siblings: tuple[Sibling, ...]
    whole: Profile
    by: str
    notes: tuple[str, ...]

    @property
    def outliers(self) -> tuple[Sibling, ...]:
        """Return those that stand out."""
        return tuple(each for each in self.siblings if each.stands_out)


def outliers(dumps: Iterable[tuple[str, Profile]], by: str = "function") -> Outliers:
    """Return how processes compare by their dumps: names, and profiles of one process each.

    They are taken one by one; of each remains what its places hold, `by` one of `BY`. Raises
    `ValueError` for no dump at all.

    A process stands out if what it holds, `v`, is at least `TIMES` the median `m` of its
    siblings, and `v - m` more than `SCORE` times their spread. The spread is their median
    absolute deviation from `m` (times 1.4826, to be a standard deviation), or the sampling error
    of `v - m` if that is more. 3.5 is what Iglewicz and Hoaglin recommend ("How to Detect and
    Handle Outliers", 1993; NIST's e-Handbook of Statistical Methods, 1.3.5.17).

    Median and spread are those of the siblings, without the process itself: else it would hide
    behind what it adds to them, which of three is a lot, and of two all. Of two there is no
    spread, and of three next to none by chance: there the factor and the errors of sampling
    decide, as they do where all are alike to a few percent. If as many processes hold much as
    hold little, each of the former stands out; if more do, none.
    """
    processes = list(_read(dumps, by))
    if not processes:
        raise ValueError("there is no dump to see outliers in")
    whole = add(process.total for process in processes)
    siblings = sorted(_siblings(processes), key=lambda each: (-each.live.bytes, each.dump))
    return Outliers(tuple(siblings), whole, by, tuple(_notes(coverage(whole), len(siblings))))


class _Process(NamedTuple):
    """What is kept of a dump: the profile as one sample, and what the places hold."""

    dump: str
    total: Profile
    covered: Coverage
    held: Mapping[Stack, Sample]


def _read(dumps: Iterable[tuple[str, Profile]], by: str) -> Iterator[_Process]:
    places = _Places(PLACES.get(by, lambda frame: frame))
    for name, profile in dumps:
        held = places.of_stacks(profile) if by == "stack" else places.of_allocations(profile)
        yield _Process(name, _total(profile), coverage(profile), held)


def _total(profile: Profile) -> Profile:
    samples = (replace(each, stack=(_ALL,)) for each in profile.samples)
    return replace(profile, samples=merge(samples))


class _Places(dict[Frame, Frame]):
    """Frames to what of them is told apart, kept once for all dumps."""

    def __init__(self, place: Callable[[Frame], Frame]) -> None:
        super().__init__()
        self._place = place
        self._kept: dict[Frame, Frame] = {}

    def __missing__(self, frame: Frame) -> Frame:
        place = self._place(frame)
        kept = self[frame] = self._kept.setdefault(place, place)
        return kept

    def of_stacks(self, profile: Profile) -> dict[Stack, Sample]:
        return {tuple(map(self.__getitem__, each.stack)): each for each in profile.samples}

    def of_allocations(self, profile: Profile) -> dict[Stack, Sample]:
        own = merge(replace(each, stack=(self[each.stack[0]],)) for each in profile.samples)
        return {each.stack: each for each in own}


def _siblings(processes: Sequence[_Process]) -> Iterator[Sibling]:
    covered = [process.covered for process in processes]
    live = _standings(
        [each.live_bytes for each in covered], [each.live_bytes_error for each in covered]
    )
    sizes = [float(each.resident_bytes) for each in covered if each.resident_bytes is not None]
    known = len(sizes) == len(covered)
    resident = _standings(sizes, [0.0] * len(sizes)) if known else [None] * len(covered)
    for number, process in enumerate(processes):
        sibling = Sibling(process.dump, process.covered, live[number], resident[number])
        if sibling.stands_out:
            others = [each.held for each in processes if each is not process]
            sibling = replace(sibling, excesses=_excesses(process.held, others))
        yield sibling


def _standings(amounts: Sequence[float], errors: Sequence[float]) -> list[Standing]:
    return [
        _standing(amount, error, _without(amounts, number), _without(errors, number))
        for number, (amount, error) in enumerate(zip(amounts, errors, strict=True))
    ]


def _standing(
    amount: float, error: float, others: Sequence[float], their_errors: Sequence[float]
) -> Standing:
    if not others:
        return Standing(amount, None, stands_out=False)
    median = _median(others)
    deviation = _MAD_TO_DEVIATION * _median([abs(other - median) for other in others])
    spread = max(deviation, math.hypot(error, _median(their_errors)))
    excess = amount - median
    return Standing(amount, median, amount >= TIMES * median and excess > SCORE * spread)


def _excesses(
    held: Mapping[Stack, Sample], others: Sequence[Mapping[Stack, Sample]]
) -> tuple[Excess, ...]:
    found = []
    for stack, sample in held.items():
        theirs = [other[stack] for other in others if stack in other]
        nothing = [0.0] * (len(others) - len(theirs))
        median = _median([*(each.bytes for each in theirs), *nothing])
        variance = _median([*(each.bytes_variance for each in theirs), *nothing])
        error = math.sqrt(sample.bytes_variance + variance)
        excess = sample.bytes - median
        if excess > _SURE * error:
            found.append(Excess(stack, sample.bytes, median, excess, error))
    return tuple(sorted(found, key=lambda each: (-each.excess, each.stack)))


def _without(values: Sequence[float], number: int) -> list[float]:
    return [*values[:number], *values[number + 1 :]]


def _median(values: Sequence[float]) -> float:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _notes(whole: Coverage, number: int) -> Iterator[str]:
    yield from {1: (ONLY_ONE,), 2: (ONLY_TWO,)}.get(number, ())
    if _seconds_between(whole.since, whole.last_since) > _SECONDS_APART:
        yield "Not all are profiled since the same time: who is for longer shows more."


def _seconds_between(first: str | None, last: str | None) -> float:
    begin, end = (time_in({"time": each or ""}, "time") for each in (first, last))
    return (end - begin).total_seconds() if begin and end else 0.0
