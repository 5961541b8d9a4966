"""Which stacks grow from dump to dump: the leak's suspects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from endoscope_profiles.aggregate import aggregate
from endoscope_profiles.coverage import run_of, time_in
from endoscope_profiles.model import Frame, Profile, Sample

SURE = 0.99
"""Who has grown with this confidence is a suspect even if not in every interval."""

ONLY_ONE = "Growth shows between two dumps of one process, and here is only one."

_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A stack, or another place, that holds more from dump to dump.

    Amounts are in bytes; `bytes` has one for each dump. `growth` is from the first to the last.
    `per_hour` is the slope of the straight line through all of them (least squares), None if
    the dumps do not say when they were taken. `confidence` is the probability that the slope is
    more than 0, by the errors of the amounts and by how far they stray from the line; as the
    errors of successive dumps are taken as independent, though they share samples, it is rather
    too low than too high.
    `grew_in` is the number of intervals between dumps in which it grew.
    """

    stack: tuple[Frame, ...]
    bytes: tuple[float, ...]
    growth: float
    growth_error: float
    per_hour: float | None
    per_hour_error: float | None
    confidence: float
    grew_in: int

    @property
    def grew_always(self) -> bool:
        """Return whether it grew in every interval."""
        return self.grew_in == len(self.bytes) - 1


@dataclass(frozen=True, slots=True)
class Growth:
    """What grew over a series of dumps. `times` are in Unix seconds, None where not known.

    `suspects` has those that grew in every interval first, then those that surely grew; in
    each, the most growth first. `notes` says what makes the series less telling.
    """

    profiles: tuple[Profile, ...]
    times: tuple[float, ...] | None
    suspects: tuple[Suspect, ...]
    notes: tuple[str, ...]


def growth(profiles: Sequence[Profile], by: str = "stack") -> Growth:
    """Return what grew over several profiles, in the order in which they were taken.

    Those of other processes than the last one's, and of earlier profiling, are left out: what
    differs from them is no growth. Nothing is suspect if then only one is left. `by` is
    `stack`, or what `aggregate` takes: then the places that allocated. Raises `ValueError`
    for no profile at all.
    """
    if not profiles:
        raise ValueError("there is no profile to see growth in")
    ordered, times = _in_order(_of_last_run(profiles))
    notes = _notes(times, len(profiles) - len(ordered))
    if len(ordered) == 1:
        return Growth(ordered, times, (), (*notes, ONLY_ONE))
    return Growth(ordered, times, _suspects(ordered, times, by), notes)


def _suspects(
    profiles: Sequence[Profile], times: Sequence[float] | None, by: str
) -> tuple[Suspect, ...]:
    line = _Line(times or [float(index) for index in range(len(profiles))])
    timed = times is not None
    found = [
        _suspect(stack, samples, line, timed) for stack, samples in _series(profiles, by).items()
    ]
    surest_first = sorted(found, key=lambda each: (not each.grew_always, -each.growth, each.stack))
    return tuple(filter(_is_suspect, surest_first))


def _of_last_run(profiles: Sequence[Profile]) -> Sequence[Profile]:
    """Return those that were taken in the process, and since the start, of the last one."""
    last = run_of(_in_order(profiles)[0][-1])
    return [profile for profile in profiles if run_of(profile) == last]


def _in_order(
    profiles: Sequence[Profile],
) -> tuple[tuple[Profile, ...], tuple[float, ...] | None]:
    """Return them as they were taken, and when; as they are given if one does not say it.

    Those of one second stay as they are given.
    """
    known = [time for time in map(_taken, profiles) if time is not None]
    if len(known) < len(profiles) or (len(profiles) > 1 and len(set(known)) == 1):
        return tuple(profiles), None
    order = sorted(range(len(profiles)), key=known.__getitem__)
    return tuple(profiles[index] for index in order), tuple(known[index] for index in order)


def _taken(profile: Profile) -> float | None:
    taken = time_in(profile.facts, "taken")
    return taken.timestamp() if taken else None


def _series(profiles: Sequence[Profile], by: str) -> dict[tuple[Frame, ...], list[Sample]]:
    """Return what each stack holds in each profile."""
    series: dict[tuple[Frame, ...], list[Sample]] = {}
    for index, profile in enumerate(profiles):
        for sample in _held(profile, by):
            held = series.get(sample.stack)
            if held is None:
                nothing = Sample(sample.stack, 0.0, 0.0)
                held = series[sample.stack] = [nothing] * len(profiles)
            held[index] = sample
    return series


def _held(profile: Profile, by: str) -> Sequence[Sample]:
    if by == "stack":
        return profile.samples
    return [row.own for row in aggregate(profile, by)]


class _Line:
    """The straight line through values at given times, by least squares.

    Its slope is a weighted sum of the values; its variance is the weighted sum of theirs, or
    what follows from how far they stray from the line, whichever is more: a cache that is filled
    and emptied strays, however exactly it was measured
    (https://en.wikipedia.org/wiki/Simple_linear_regression).
    """

    def __init__(self, times: Sequence[float]) -> None:
        mean = math.fsum(times) / len(times)
        self._distances = [time - mean for time in times]
        self._spread = math.fsum(distance * distance for distance in self._distances)

    def slope(self, values: Sequence[float], variances: Sequence[float]) -> _Slope:
        slope = math.fsum(map(float.__mul__, self._distances, values)) / self._spread
        squares = (distance * distance for distance in self._distances)
        sampled = math.fsum(map(float.__mul__, squares, variances)) / self._spread**2
        freedom = len(values) - 2
        strayed = self._strayed(values, slope) / freedom if freedom else 0.0
        error = math.sqrt(max(sampled, strayed))
        return _Slope(slope, error, _confidence(slope, error, freedom if strayed > sampled else 0))

    def _strayed(self, values: Sequence[float], slope: float) -> float:
        mean = math.fsum(values) / len(values)
        residuals = (
            value - mean - slope * distance
            for value, distance in zip(values, self._distances, strict=True)
        )
        return math.fsum(residual * residual for residual in residuals) / self._spread


class _Slope(NamedTuple):
    """A slope, its standard error, and how probable it is that there is a rise."""

    slope: float
    error: float
    confidence: float


def _suspect(
    stack: tuple[Frame, ...], samples: Sequence[Sample], line: _Line, timed: bool
) -> Suspect:
    held = tuple(sample.bytes for sample in samples)
    variances = [sample.bytes_variance for sample in samples]
    slope, error, confidence = line.slope(held, variances)
    return Suspect(
        stack=stack,
        bytes=held,
        growth=held[-1] - held[0],
        growth_error=math.sqrt(variances[0] + variances[-1]),
        per_hour=slope * _SECONDS_PER_HOUR if timed else None,
        per_hour_error=error * _SECONDS_PER_HOUR if timed else None,
        confidence=confidence,
        grew_in=sum(later > earlier for earlier, later in pairwise(held)),
    )


def _confidence(slope: float, error: float, freedom: int) -> float:
    """Return how probable it is that there is a rise.

    An error that was reckoned from how values stray, with so many degrees of `freedom`, is
    uncertain itself; without any it is known, and the slope is normally distributed.
    """
    if error == 0:
        return 1.0 if slope > 0 else 0.0
    if freedom:
        return _student(slope / error, freedom)
    return 0.5 * (1 + math.erf(slope / error / math.sqrt(2)))


def _student(t: float, freedom: int) -> float:
    """Return the distribution function of Student's t (Abramowitz, Stegun: 26.7.3, 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    series = 0.0 if freedom == 1 else term
    for number in range(2 + odd, freedom - 1, 2):
        term *= cosine * cosine * (number - 1) / number
        series += term
    within = 2 / math.pi * (angle + sine * series) if odd else sine * series
    return 0.5 * (1 + within)


def _is_suspect(each: Suspect) -> bool:
    return each.growth > 0 and (each.grew_always or each.confidence >= SURE)


def _notes(times: tuple[float, ...] | None, left_out: int) -> tuple[str, ...]:
    notes = []
    if left_out:
        notes.append(f"Left out: {_others(left_out)}.")
    if times is None:
        notes.append(
            "Not all of the dumps say when they were taken: they are in the order given, and "
            "nothing is said per hour."
        )
    return tuple(notes)


def _others(number: int) -> str:
    dumps = "1 dump is" if number == 1 else f"{number} dumps are"
    return f"{dumps} of another process, or of before profiling was started anew"
