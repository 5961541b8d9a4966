"""Starts a profiler in this process, each as a host would get it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Started:
    """What was started. `samples` returns how many were taken and the seconds it took, if known."""

    samples: Callable[[], tuple[int, float]] = lambda: (0, 0.0)


def start(name: str, settings: dict[str, Any], folder: Path) -> Started:
    """Start the profiler called `name`; what it writes goes to `folder`."""
    return _STARTERS[name](folder, **settings)


def recorder(settings: dict[str, Any], folder: Path) -> Any:
    """Return Endoscope's own recorder; the process exits if its profiler does not work here."""
    from endoscope_memory.dumps import DumpFolder
    from endoscope_memory.recorder import Recorder
    from endoscope_memory.settings import MemorySettings

    dumps = DumpFolder(folder)
    made = Recorder(MemorySettings(**settings), dumps, "benchmark", logging.getLogger())
    if made.status().profiler != settings["profiler"]:
        raise SystemExit(f"no {settings['profiler']}: {made.problems()}")
    return made


def native_samples() -> tuple[int, float]:
    """Return what our own hooks count: samples and seconds."""
    from endoscope_memory import native

    facts = native.part.sampler_facts(), native.part.hook_facts()
    return sum(each["taken"] for each in facts), sum(each["nanoseconds"] for each in facts) / 1e9


def _nothing(_: Path) -> Started:
    return Started()


def _endoscope(folder: Path, until: str, settings: dict[str, Any]) -> Started:
    made = recorder(settings, folder)
    if until != "chosen":
        made.start()
    if until == "stopped":
        made.stop()
    if made.status().profiling_active != (until == "started"):
        raise SystemExit("the profiler is not in the state that it should be in")
    return Started(native_samples)


def _tracemalloc(_: Path, frames: int) -> Started:
    import tracemalloc

    tracemalloc.start(frames)
    return Started()


def _memray(folder: Path, **options: Any) -> Started:
    import memray

    tracker = memray.Tracker(folder / f"{os.getpid()}.memray", **options)
    tracker.__enter__()
    return Started()


def _ddtrace(_: Path, heap_sample_size: int) -> Started:
    from ddtrace.profiling.collector.memalloc import MemoryCollector

    MemoryCollector(heap_sample_size=heap_sample_size).start()
    return Started()


_STARTERS: dict[str, Callable[..., Started]] = {
    "nothing": _nothing,
    "endoscope": _endoscope,
    "tracemalloc": _tracemalloc,
    "memray": _memray,
    "ddtrace": _ddtrace,
}
