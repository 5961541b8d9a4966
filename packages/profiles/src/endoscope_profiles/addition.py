"""Profiles of several processes as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from endoscope_profiles.coverage import number_in
from endoscope_profiles.model import Profile, merge

_SUMS = ("allocated_bytes", "resident_bytes")


def add(profiles: Sequence[Profile]) -> Profile:
    """Return what `profiles`, at least one, hold in all, stack by stack.

    Meant for processes that ran beside each other; of one process it would count what is in
    two dumps twice. The facts are those that all agree on, sizes added up; `interval_bytes` is
    the coarsest.
    """
    return Profile(
        samples=merge(sample for profile in profiles for sample in profile.samples),
        interval_bytes=max(profile.interval_bytes for profile in profiles),
        facts=_facts([profile.facts for profile in profiles]),
        binary=profiles[0].binary,
        build_ids={path: id_ for profile in profiles for path, id_ in profile.build_ids.items()},
    )


def _facts(each: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *others = each
    common = {
        key: value for key, value in first.items() if all(one.get(key) == value for one in others)
    }
    parts = {key: [number_in(one, key) for one in each] for key in _SUMS}
    sums = {key: str(sum(known)) for key, numbers in parts.items() if (known := _all(numbers))}
    return {**{key: value for key, value in common.items() if key not in _SUMS}, **sums}


def _all(numbers: Sequence[int | None]) -> list[int]:
    """Return the numbers; none where one of them is not known."""
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else []
