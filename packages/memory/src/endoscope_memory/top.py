"""The first view: which stacks hold the most memory at this moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from endoscope_profiles.coverage import coverage

if TYPE_CHECKING:
    from endoscope_profiles import Frame, Profile, Sample


@dataclass(frozen=True, slots=True)
class Place:
    """One frame. A native function has its library as `file` and no line."""

    function: str
    file: str | None
    line: int | None


@dataclass(frozen=True, slots=True)
class BigStack:
    """One stack, innermost frame first, and what is live of what was allocated there.

    The numbers are estimates, `..._error` their standard errors. `share` is that of all live
    bytes in the profile.
    """

    bytes: int
    bytes_error: int
    objects: int
    objects_error: int
    share: float
    frames: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Top:
    """The biggest stacks, and how much of the whole they explain.

    `live_bytes` is the estimate for all stacks, of which there are `stacks_in_all`;
    `allocated_bytes` is what the allocator says (with jemalloc, which does not count Python's
    small objects), `resident_bytes` what the process has in memory, `coverage` how much of
    that `live_bytes` is. What was allocated before `profiling_since` is in none but these two.
    """

    profiler: str | None
    sees: str | None
    taken: str | None
    profiling_since: str | None
    sample_interval_bytes: int
    live_bytes: int
    live_bytes_error: int
    live_objects: int
    allocated_bytes: int | None
    resident_bytes: int | None
    coverage: float | None
    stacks_in_all: int
    stacks: tuple[BigStack, ...]
    notes: tuple[str, ...]


def top(profile: Profile, limit: int, notes: tuple[str, ...]) -> Top:
    """Return the `limit` biggest stacks of `profile`."""
    covered = coverage(profile)
    share = covered.of_resident
    return Top(
        profiler=covered.profiler,
        sees=covered.sees,
        taken=covered.taken,
        profiling_since=covered.since,
        sample_interval_bytes=covered.interval_bytes,
        live_bytes=round(covered.live_bytes),
        live_bytes_error=round(covered.live_bytes_error),
        live_objects=round(covered.live_objects),
        allocated_bytes=covered.allocated_bytes,
        resident_bytes=covered.resident_bytes,
        coverage=None if share is None else round(share, 4),
        stacks_in_all=len(profile.samples),
        stacks=tuple(_big_stack(sample, profile) for sample in profile.samples[:limit]),
        notes=notes,
    )


def _big_stack(sample: Sample, profile: Profile) -> BigStack:
    return BigStack(
        bytes=round(sample.bytes),
        bytes_error=round(sample.bytes_error),
        objects=round(sample.objects),
        objects_error=round(sample.objects_error),
        share=round(sample.bytes / profile.bytes, 4) if profile.bytes else 0.0,
        frames=tuple(_place(frame) for frame in sample.stack),
    )


def _place(frame: Frame) -> Place:
    return Place(frame.function, frame.file or None, frame.line or None)
