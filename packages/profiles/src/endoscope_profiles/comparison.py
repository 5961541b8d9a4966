"""What changed between two profiles, stack by stack."""

from __future__ import annotations

from dataclasses import replace

from endoscope_profiles.model import Profile, Sample, merge


def diff(base: Profile, target: Profile) -> Profile:
    """Return what `target` holds more than `base`: negative where it holds less.

    Stacks that hold the same in both are left out. The variances are the sums of both, which is
    more than they are where the same blocks are live in both: no growth looks surer than it is.
    The facts are those of `target`.
    """
    changed = merge((*target.samples, *map(_negative, base.samples)))
    return replace(target, samples=tuple(each for each in changed if each.bytes or each.objects))


def since(base: Profile | None, profile: Profile) -> Profile:
    """Return what `profile` holds more than `base`, or without a base all that it holds."""
    return profile if base is None else diff(base, profile)


def _negative(sample: Sample) -> Sample:
    return replace(sample, objects=-sample.objects, bytes=-sample.bytes)
