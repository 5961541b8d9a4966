"""What can be set under `memory:`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from endoscope import PluginSettings


def _preloadable(path: Path) -> Path:
    # ld.so splits LD_PRELOAD at these, and knows no way to quote them.
    if any(character in str(path) for character in " \t\n:"):
        raise ValueError("a library whose path has a blank or a colon in it cannot be preloaded")
    return path.absolute()


class MemorySettings(PluginSettings):
    """Settings of heap profiling."""

    profiler: Literal["auto", "jemalloc"] = "auto"
    """Which profiler to use. `auto` takes the first that works and goes on without one if
    none does; a named one that cannot work refuses the start."""

    jemalloc_path: Annotated[Path, AfterValidator(_preloadable)] | None = None
    """The libjemalloc that `endoscope run` preloads. Unset: looked for in the loader's cache,
    the usual places and `$CONDA_PREFIX/lib`."""

    sample_interval_bytes: Annotated[int, Field(ge=1, le=2**40)] = 524288
    """One sample per so many allocated bytes, on average; rounded to a power of two, which
    `status` reports. Fixed at launch. Far below the default it costs memory and time."""

    start_profiling: bool = False
    """Whether to profile from the start of diagnostics on, without being asked."""

    keep_dumps: Annotated[int, Field(ge=1)] = 20
    """How many dumps to keep; after each new one the oldest beyond it are deleted."""

    keep_bytes: Annotated[int, Field(ge=1)] = 2 * 1024**3
    """How many bytes of dumps to keep in all; the oldest are deleted first, the newest never."""

    @property
    def lg_sample_interval(self) -> int:
        """The sample interval as jemalloc takes it: the logarithm of the nearest power of two."""
        return round(math.log2(self.sample_interval_bytes))
