"""What whoever starts a profiler asks of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from endoscope import BadRequestError

LARGEST_INTERVAL = 2**40


@dataclass(frozen=True, slots=True)
class Wish:
    """How to profile; what is None stays as it is.

    `sample_interval_bytes` is the mean number of bytes between two samples. `discard` allows
    the samples that there are to be thrown away for it.
    """

    sample_interval_bytes: int | None = None
    discard: bool = False

    @property
    def lg_interval(self) -> int | None:
        """The interval as profilers take it: the logarithm of the nearest power of two."""
        wanted = self.sample_interval_bytes
        return None if wanted is None else lg(wanted)


def lg(interval_bytes: int) -> int:
    """Return the logarithm of the power of two that is nearest to an interval."""
    return round(math.log2(interval_bytes))


def parse(body: bytes) -> Wish:
    """Return the wish in a request's body, JSON or empty. Raises `BadRequestError`."""
    if not body.strip():
        return Wish()
    try:
        given = json.loads(body)
    except ValueError as error:
        raise _bad(f"the body is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise _bad("the body is not a JSON object")
    if unknown := given.keys() - Wish.__slots__:
        raise _bad(f"{min(unknown)!r} is unknown here")
    return Wish(_interval(given.get("sample_interval_bytes")), _flag(given.get("discard", False)))


def _interval(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= LARGEST_INTERVAL:
        raise _bad(f"sample_interval_bytes must be a whole number from 1 to {LARGEST_INTERVAL}")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _bad("discard must be true or false")
    return value


def _bad(message: str) -> BadRequestError:
    return BadRequestError(
        message,
        remedy='Send nothing, or JSON such as {"sample_interval_bytes": 524288, "discard": true}',
        code="bad_body",
    )
