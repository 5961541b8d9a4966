"""Our own sampler in Python's allocators: Python's memory by Python stack, on any CPython."""

from __future__ import annotations

from typing import TYPE_CHECKING

from endoscope import NotSupportedError
from endoscope_memory import native
from endoscope_memory.availability import Availability, Cost, Coverage, Reason
from endoscope_memory.facts import preface

if TYPE_CHECKING:
    from collections.abc import Mapping

    from endoscope_memory.drafts import Draft
    from endoscope_memory.settings import MemorySettings
    from endoscope_memory.wish import Wish

_NO_JEMALLOC = 0


class SamplerProfiler:
    """The sampler of this process, of which there is one: two of these share it."""

    name = "sampler"

    def __init__(self, settings: MemorySettings) -> None:
        self._lg_interval = settings.lg_sample_interval
        self._budget = settings.overhead_budget_percent / 100

    @property
    def availability(self) -> Availability:
        """Whether it works here: whether the native part does."""
        if obstacle := native.obstacle():
            return Availability(obstacles=(obstacle,))
        facts = (f"one sample is taken per {1 << self._lg_interval} bytes",)
        return Availability(caveats=removed_hooks(), facts=facts)

    @property
    def active(self) -> bool:
        """Whether allocations are being sampled now."""
        return native.obstacle() is None and native.part.sampler_facts()["sampling"]

    @property
    def sample_interval_bytes(self) -> int | None:
        """The mean number of allocated bytes between two samples, as adapted to the budget."""
        if native.obstacle():
            return None
        if self.active:
            return 1 << native.part.sampler_facts()["lg_interval"]
        return 1 << self._lg_interval

    @property
    def coverage(self) -> Coverage:
        """What its dumps show."""
        sees = "what Python allocates for its objects, and nothing that C code takes from malloc"
        return Coverage(python_frames=True, small_objects=True, sees=sees)

    @property
    def cost(self) -> Cost:
        """What it costs while it is active, and has cost."""
        budget = (
            f"at most {self._budget:.1%} of the CPU time" if self._budget else "without a limit"
        )
        expected = f"about 2% of the instructions at 512 KiB, for taking samples {budget}"
        if native.obstacle():
            return Cost(expected)
        facts = native.part.sampler_facts()
        return Cost(expected, facts["taken"], facts["nanoseconds"] / 1e9)

    def start(self, wish: Wish) -> None:
        """Begin to sample, or change over to another interval; raises `NotSupportedError`."""
        if wish.discard:
            native.part.discard_samples()
        if wish.lg_interval is not None:
            self._lg_interval = wish.lg_interval
        elif is_sampling():
            return
        start_sampler(self._lg_interval, self._budget, _NO_JEMALLOC)

    def stop(self) -> None:
        """Cease to sample, and keep the samples."""
        native.part.stop_sampler()

    def dump(self, draft: Draft, scratch: Draft, facts: Mapping[str, str]) -> int:  # noqa: ARG002
        """Write the samples to `draft`; returns their number. Raises `OSError`."""
        lines = preface({**facts, **lost_samples()})
        return native.part.write_dump(draft.descriptor, lines, self._lg_interval, None)

    def live_bytes(self) -> None:
        """Return nothing: the samples are counted, and not how large their blocks are."""

    def allocator(self) -> None:
        """Return nothing: Python's allocators keep no statistics."""


def start_sampler(lg_interval: int, budget: float, mallctl: int) -> None:
    """Start it as `_native` does; raises `NotSupportedError` where it cannot work."""
    try:
        native.part.start_sampler(lg_interval, budget, mallctl)
    except RuntimeError as error:
        raise NotSupportedError(
            f"Python's allocators cannot be sampled: {error}",
            remedy="Start profiling before the other one, or do without it",
        ) from error


def is_sampling() -> bool:
    """Return whether it takes samples now, as it should where it was started."""
    facts = native.part.sampler_facts()
    return facts["sampling"] and facts["attached"]


def removed_hooks() -> tuple[Reason, ...]:
    """Return a caveat if it was started and sees nothing any more."""
    facts = native.part.sampler_facts()
    return (_REMOVED,) if facts["sampling"] and not facts["attached"] else ()


def lost_samples() -> dict[str, str]:
    """Return a fact about samples for which there was no memory, if there were any."""
    lost = native.part.sampler_facts()["lost"]
    return {"lost_samples": str(lost)} if lost else {}


_REMOVED = Reason(
    "Another tool has removed the sampler's hooks from Python's allocators: nothing is sampled, "
    "and blocks that were freed since then still show",
    "Start profiling again: what was sampled is discarded then, since it is no longer true",
)
