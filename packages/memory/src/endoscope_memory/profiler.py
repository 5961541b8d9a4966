"""What every profiler offers, and which one is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from endoscope import Problem
from endoscope_memory.profilers.jemalloc import JemallocProfiler

if TYPE_CHECKING:
    from pathlib import Path

    from endoscope import Severity
    from endoscope_memory.availability import Availability, Coverage
    from endoscope_memory.settings import MemorySettings


class Profiler(Protocol):
    """A heap profiler of this process. May be called from any thread.

    Where it is not available only `name`, `availability`, `active`, `coverage`,
    `sample_interval_bytes` and `allocator` may be asked for.
    """

    @property
    def name(self) -> str:
        """Its name in the settings and in `status`."""

    @property
    def availability(self) -> Availability:
        """Whether it works in this process, and why not. Never raises."""

    @property
    def active(self) -> bool:
        """Whether allocations are being sampled now."""

    @property
    def sample_interval_bytes(self) -> int | None:
        """The mean number of allocated bytes between two samples; None if not available."""

    @property
    def coverage(self) -> Coverage:
        """What its dumps show."""

    def start(self) -> None:
        """Begin to sample; harmless when it does so already."""

    def stop(self) -> None:
        """Cease to sample, and keep the samples."""

    def dump(self, path: Path) -> None:
        """Write the samples over the file at `path`. Raises `OSError`."""

    def allocator(self) -> dict[str, int] | None:
        """Return the statistics of the process's allocator in bytes, if it has any."""


def choose(settings: MemorySettings) -> Profiler:
    """Return the profiler that `settings` name; for `auto` the first that is available.

    If none is, the first one, whose availability then says what would make it work.
    """
    candidates = [profiler for profiler in _all(settings) if _is_meant(profiler, settings)]
    return next((one for one in candidates if one.availability.available), candidates[0])


def problems(availability: Availability, settings: MemorySettings) -> tuple[Problem, ...]:
    """Return `availability` as problems: an obstacle is an error only to who named a profiler."""
    severity: Severity = "warning" if settings.profiler == "auto" else "error"
    return (
        *(Problem(severity, each.message, each.remedy) for each in availability.obstacles),
        *(Problem("warning", each.message, each.remedy) for each in availability.caveats),
        *(Problem("info", each) for each in availability.facts),
    )


def _all(settings: MemorySettings) -> list[Profiler]:
    """Return the profilers, the best first."""
    asked_for = "sample_interval_bytes" in settings.model_fields_set
    return [JemallocProfiler(1 << settings.lg_sample_interval if asked_for else None)]


def _is_meant(profiler: Profiler, settings: MemorySettings) -> bool:
    return settings.profiler in ("auto", profiler.name)
