"""What a profiler can do in this process, what it costs, and what stands in its way."""

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
    """What a profiler's dumps show.

    `python_frames`: whether stacks name Python functions; `small_objects`: whether Python
    objects of up to 512 bytes are in it; `sees` says all of it in a sentence.
    """

    python_frames: bool
    small_objects: bool
    sees: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What a profiler costs the host.

    `expected` says what to reckon with. `samples_taken` and `seconds`, which taking them
    took, are counted since the process began; None where nobody counts.
    """

    expected: str
    samples_taken: int | None = None
    seconds: float | None = None
