"""What can be set under `memory:`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from endoscope import PluginSettings
from endoscope_memory.wish import LARGEST_INTERVAL, lg


def _preloadable(path: Path) -> Path:
    # ld.so splits LD_PRELOAD at these, and knows no way to quote them.
    if any(character in str(path) for character in " \t\n:"):
        raise ValueError("a library whose path has a blank or a colon in it cannot be preloaded")
    return path.absolute()


class MemorySettings(PluginSettings):
    """Settings of heap profiling."""

    profiler: Literal["auto", "jemalloc", "sampler", "tracemalloc", "memray"] = "auto"
    """Which profiler to use. `auto` takes jemalloc, else the sampler, and goes on without one
    if neither works; a named one that cannot work refuses the start. `tracemalloc` and `memray`
    record every allocation, which slows the program down several times."""

    stacks: Literal["python", "mixed", "native"] = "python"
    """What stacks jemalloc records: of Python functions, of both (what C code runs below
    Python shows), or of C functions only. The latter two unwind the C stack, which is dearer."""

    jemalloc_path: Annotated[Path, AfterValidator(_preloadable)] | None = None
    """The libjemalloc that `endoscope run` preloads. Unset: looked for in the loader's cache,
    the usual places and `$CONDA_PREFIX/lib`."""

    sample_interval_bytes: Annotated[int, Field(ge=1, le=LARGEST_INTERVAL)] = 524288
    """One sample per so many allocated bytes, on average; rounded to a power of two, which
    `status` reports. With jemalloc fixed at launch. Far below the default it costs memory and
    time."""

    overhead_budget_percent: Annotated[float, Field(ge=0, le=100)] = 2.0
    """How much of the process's CPU time taking samples in Python's allocators may cost; where
    it is more, the interval is doubled. 0: no limit. jemalloc's own samples know no limit."""

    tracemalloc_frames: Annotated[int, Field(ge=1, le=128)] = 25
    """How many frames of each stack `tracemalloc` records; each costs time and memory."""

    start_profiling: bool = False
    """Whether to profile from the start of diagnostics on, without being asked."""

    keep_dumps: Annotated[int, Field(ge=1)] = 20
    """How many dumps of each process to keep; after each new one the oldest beyond it are deleted.
    Of all processes together, ended ones included, there are never more than a thousand."""

    keep_bytes: Annotated[int, Field(ge=1)] = 2 * 1024**3
    """How many bytes of dumps to keep, of all processes together; the oldest are deleted first,
    the newest never."""

    keep_view_bytes: Annotated[int, Field(ge=0)] = 256 * 1024**2
    """How many bytes of flame graphs and other views of dumps to keep beside them, for who asks
    again; those that were not asked for longest go first. They go with their dumps."""

    @property
    def lg_sample_interval(self) -> int:
        """The sample interval as profilers take it: the logarithm of the nearest power of two."""
        return lg(self.sample_interval_bytes)
