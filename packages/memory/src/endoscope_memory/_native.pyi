"""The parts of the profilers that run inside the allocators, in C (`packages/memory/native`).

Intervals are logarithms of bytes, `mallctl` is the address of jemalloc's function of that name.
Importing it raises `ImportError` in a Python whose frames it does not know.
"""

from typing import TypedDict

class SamplerFacts(TypedDict):
    sampling: bool
    attached: bool  # False: somebody has removed its hooks from the allocators
    lg_interval: int  # as it is now, adapted to the budget
    live: int  # samples
    lost: int  # samples for which there was no memory
    taken: int  # samples, since the process began
    nanoseconds: int  # that they took

class HookFacts(TypedDict):
    taken: int
    nanoseconds: int

def walk(with_gil: bool, /) -> list[tuple[str, str, int]]:
    """Return this thread's frames, innermost first, as (qualified name, file, line).

    Found as the sampler does, or as jemalloc's hook does, which cannot know about the GIL.
    """

def usable_in_malloc() -> bool:
    """Return whether jemalloc's hook may look at frames in this process."""

def start_sampler(lg_interval: int, budget: float, mallctl: int, /) -> None:
    """Begin to sample, or go on in another way; the samples that there are stay.

    `budget` is the share of the CPU time that sampling may take, 0 for any. With a
    `mallctl`, only what that jemalloc does not own is sampled. Raises `RuntimeError` where it
    cannot work, and `MemoryError`.
    """

def stop_sampler() -> None:
    """Cease to sample. Frees are followed for ever, so that the samples stay true."""

def discard_samples() -> None: ...
def sampler_facts() -> SamplerFacts: ...
def install_hook(mallctl: int, stacks: int, /) -> None:
    """Have jemalloc record stacks: 0 native, 1 Python, 2 mixed. Raises `OSError`."""

def hook_facts() -> HookFacts: ...
def write_dump(
    descriptor: int,
    preface: bytes,
    lg_interval: int,
    heap: tuple[int, int, int, int, int, int] | None,
    /,
) -> int:
    """Write a dump of the sampler's samples, and of jemalloc's profile `heap`.

    `heap` is (descriptor, offset of its records, offset of MAPPED_LIBRARIES, size, objects,
    bytes). Returns the number of samples; raises `OSError`. The GIL is released.
    """

def close() -> None:
    """Take no more samples and look at no more frames: Python is about to end."""
