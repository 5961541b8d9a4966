"""Estimates as whole numbers, for formats that take no others."""

from __future__ import annotations

import math
from collections.abc import Sequence


def rounded(numbers: Sequence[float]) -> list[int]:
    """Return whole numbers whose sum is that of `numbers`, rounded.

    Each is next to its own number, and most are the nearest: what rounding made of the sum is
    put right at those that it takes the least from (the largest remainder method).
    """
    whole = [round(number) for number in numbers]
    missing = round(math.fsum(numbers)) - sum(whole)
    step = 1 if missing > 0 else -1
    nearest = sorted(range(len(whole)), key=lambda at: step * (whole[at] - numbers[at]))
    for at in nearest[: abs(missing)]:
        whole[at] += step
    return whole
