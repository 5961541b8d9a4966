"""Profiles of several processes as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from endoscope_profiles.coverage import FIRST_TAKEN, LAST_SINCE, PIDS, number_in
from endoscope_profiles.model import Frame, Profile, Sample, merge
from endoscope_profiles.origin import PROCESS

_T = TypeVar("_T")

UNKNOWN = Frame(f"{PROCESS}not recorded]")
"""Stands for the process of a profile that does not say of which it is."""

_SUMS = ("allocated_bytes", "resident_bytes")
_SPANS = (  # times, RFC 3339 in UTC and so in the order of their texts
    ("taken", max, FIRST_TAKEN, min),
    ("profiling_since", min, LAST_SINCE, max),
)


def add(profiles: Iterable[Profile], *, by_process: bool = False) -> Profile:
    """Return what `profiles`, at least one, hold in all, stack by stack.

    Meant for processes that ran beside each other; of one process it would count what is in
    two dumps twice. They are taken one by one: memory is that of the distinct stacks. With
    `by_process` the outermost frame of each stack says whose it is, such as `[process 1234]`.

    The facts are those that all agree on, sizes added up, and times from the first to the
    last; `interval_bytes` is the coarsest. Raises `ValueError` for no profile at all.
    """
    parts: list[Profile] = []
    samples = merge(_samples(profiles, by_process, parts))
    if not parts:
        raise ValueError("there is no profile to add up")
    return Profile(
        samples=samples,
        interval_bytes=max(part.interval_bytes for part in parts),
        facts=_facts([part.facts for part in parts]),
        binary=parts[0].binary,
        build_ids={path: id_ for part in parts for path, id_ in part.build_ids.items()},
    )


def _samples(
    profiles: Iterable[Profile], by_process: bool, parts: list[Profile]
) -> Iterator[Sample]:
    """Yield the samples of all; of each profile the rest remains in `parts`."""
    for profile in profiles:
        parts.append(replace(profile, samples=()))
        yield from _owned(profile) if by_process else profile.samples


def _owned(profile: Profile) -> Iterator[Sample]:
    owner = _owner(profile)
    for sample in profile.samples:
        yield replace(sample, stack=(*sample.stack, owner))


def _owner(profile: Profile) -> Frame:
    pid = number_in(profile.facts, "pid")
    return UNKNOWN if pid is None else Frame(f"{PROCESS}{pid}]")


def _facts(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    if len(each) == 1:
        return dict(each[0])
    first, *others = each
    common = {
        key: value
        for key, value in first.items()
        if key not in _SUMS and all(one.get(key) == value for one in others)
    }
    parts = {key: [number_in(one, key) for one in each] for key in _SUMS}
    sums = {key: str(sum(known)) for key, numbers in parts.items() if (known := _all(numbers))}
    return {**common, **_spans(each), **_pids(each), **sums}


def _spans(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return from when to when, for the times that differ and that all of them know."""
    spans: dict[str, str] = {}
    for key, kept, other_end, other in _SPANS:
        times = _all([one.get(key) for one in each])
        if len(set(times)) > 1:
            spans |= {key: kept(times), other_end: other(times)}
    return spans


def _pids(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    pids = [number_in(one, "pid") for one in each]
    known = sorted({pid for pid in pids if pid is not None})
    return {PIDS: " ".join(map(str, known))} if len(known) > 1 else {}


def _all(values: Sequence[_T | None]) -> list[_T]:
    """Return the values; none where one of them is not known."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []
