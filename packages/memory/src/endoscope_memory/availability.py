"""What a profiler can do in this process, and what stands in its way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that is not as it should be, and in the imperative what to do about it."""

    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a profiler works here.

    `obstacles` keep it from working at all, `caveats` make its dumps show less than the
    reader expects, `facts` are what holds.
    """

    obstacles: tuple[Reason, ...] = ()
    caveats: tuple[Reason, ...] = ()
    facts: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        """Whether profiling can be started and dumps can be taken."""
        return not self.obstacles


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a profiler's dumps show: stacks of Python functions, or the small Python objects."""

    python_frames: bool
    small_objects: bool
