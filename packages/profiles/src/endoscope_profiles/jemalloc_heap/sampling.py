"""What a sampled record stands for, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from endoscope_profiles.model import Frame, Sample
from endoscope_profiles.profile_error import NotExpectedError


class Count(NamedTuple):
    """Live objects and live bytes, as they were recorded."""

    objects: int
    bytes: int


def total(counts: Iterable[Count]) -> Count:
    """Return all of them together."""
    objects = size = 0
    for count in counts:
        objects += count.objects
        size += count.bytes
    return Count(objects, size)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How blocks came to be in the dump, and so what a record stands for.

    A block of `s` bytes is sampled with probability `p = 1 - exp(-s / interval)`, as every
    byte is with the same small one; a record stands for `1 / p` times what is in it
    (`AdjustSamples` in jeprof, whose order of operations this keeps, for the last digit's
    sake). Of `C` blocks `n` are sampled with variance `C p (1 - p)`, thus the estimate `n / p`
    has the variance `C (1 - p) / p`, and that of the bytes is `s**2` times as much. For these
    `p` is that of the `coarsest` interval in use, if it is more than `interval`: the recorded
    counts were then scaled so that `interval` fits all of them.
    """

    interval: int
    coarsest: int

    def sample(self, stack: tuple[Frame, ...], count: Count) -> Sample:
        """Raise `NotExpectedError` if so few bytes cannot stand for anything."""
        objects, size = count
        if self.interval <= 1 or objects == 0:
            return Sample(stack, float(objects), float(size))
        block = size / objects
        probability = 1 - math.exp(-(block / self.interval))
        if probability == 0:
            raise NotExpectedError("more bytes for so many objects")
        scale = 1 / probability
        estimate = objects * scale
        exponent = -block / max(self.interval, self.coarsest)
        variance = estimate * math.exp(exponent) / -math.expm1(exponent)
        return Sample(stack, estimate, size * scale, variance, variance * block * block)
