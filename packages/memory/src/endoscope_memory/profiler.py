"""What every profiler offers, and which one is used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from endoscope import Problem
from endoscope_memory.availability import Reason
from endoscope_memory.profilers.jemalloc import JemallocProfiler
from endoscope_memory.profilers.memray import MemrayProfiler
from endoscope_memory.profilers.sampler import SamplerProfiler
from endoscope_memory.profilers.tracemalloc import TracemallocProfiler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from endoscope import Severity
    from endoscope_memory.availability import Availability, Cost, Coverage
    from endoscope_memory.drafts import Draft
    from endoscope_memory.dumps import DumpFolder
    from endoscope_memory.settings import MemorySettings
    from endoscope_memory.wish import Wish


class Profiler(Protocol):
    """A heap profiler of this process. May be called from any thread.

    Where it is not available only `name`, `availability`, `active`, `coverage`, `cost`,
    `sample_interval_bytes`, `live_bytes` and `allocator` may be asked for.
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
        """The mean number of allocated bytes between two samples; None if not available.

        As it is now; 1 where every allocation is recorded.
        """

    @property
    def coverage(self) -> Coverage:
        """What its dumps show."""

    @property
    def cost(self) -> Cost:
        """What it costs while it is active."""

    def start(self, wish: Wish) -> None:
        """Begin to sample, or change over to what is wished; else harmless when active.

        Raises `NotSupportedError`, and `BusyError` for a wish that would cost the samples
        that there are and does not say that it may.
        """

    def stop(self) -> None:
        """Cease to sample, and keep the samples."""

    def dump(self, draft: Draft, scratch: Draft, facts: Mapping[str, str]) -> int:
        """Write the samples, with `facts` about them, to `draft`; return their number.

        `scratch` is another empty file, to do with as it pleases. Raises `OSError`.
        """

    def live_bytes(self) -> int | None:
        """Return how much memory is in use, if that is known at once: no dump is taken for it."""

    def allocator(self) -> dict[str, int] | None:
        """Return the statistics of the process's allocator in bytes, if it has any."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The profiler that is used, and why no better one is."""

    profiler: Profiler
    lacks: tuple[Reason, ...] = ()

    @property
    def availability(self) -> Availability:
        """The profiler's, as of now, and how to get a better one."""
        found = described(self.profiler)
        return replace(found, caveats=(*found.caveats, *self.lacks))


def choose(settings: MemorySettings, dumps: DumpFolder) -> Choice:
    """Return the profiler that `settings` name; for `auto` the first that is available.

    If none is, the first one, whose availability then says what would make it work.
    """
    candidates = _candidates(settings, dumps)
    chosen = next((one for one in candidates if one.availability.available), candidates[0])
    better = candidates[: candidates.index(chosen)]
    return Choice(chosen, tuple(instead(chosen, one.name, one.availability) for one in better))


def described(profiler: Profiler) -> Availability:
    """Return how available a profiler is, with what it sees and costs among the facts."""
    found = profiler.availability
    if not found.available:
        return found
    uses = f"{profiler.name} sees {profiler.coverage.sees}; it costs {profiler.cost.expected}"
    return replace(found, facts=(*found.facts, uses))


def instead(chosen: Profiler, better: str, availability: Availability) -> Reason:
    """Say that `chosen` is used since the `better` one is not available, and what to do."""
    obstacles = availability.obstacles
    return Reason(
        f"The {chosen.name} profiler is used, which sees {chosen.coverage.sees}. The better "
        f"one is {better}: " + "; ".join(each.message for each in obstacles),
        "; ".join(each.remedy for each in obstacles),
    )


def problems(availability: Availability, settings: MemorySettings) -> tuple[Problem, ...]:
    """Return `availability` as problems: an obstacle is an error only to who named a profiler."""
    severity: Severity = "warning" if settings.profiler == "auto" else "error"
    return (
        *(Problem(severity, each.message, each.remedy) for each in availability.obstacles),
        *(Problem("warning", each.message, each.remedy) for each in availability.caveats),
        *(Problem("info", each) for each in availability.facts),
    )


def _candidates(settings: MemorySettings, dumps: DumpFolder) -> list[Profiler]:
    """Return the profilers that are meant, the best first. The exact ones must be named."""
    every: list[Profiler] = [
        JemallocProfiler(settings),
        SamplerProfiler(settings),
        TracemallocProfiler(settings),
        MemrayProfiler(dumps.directory),
    ]
    meant = ("jemalloc", "sampler") if settings.profiler == "auto" else (settings.profiler,)
    return [one for one in every if one.name in meant]
