"""In the child: one workload, with one profiler or none."""

from __future__ import annotations

import ctypes
import gc
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heap import profilers
from heap.workloads import WORKLOADS, Work

DEPTH = 20
"""So many frames of a server are below every request."""


@dataclass(frozen=True)
class Task:
    """A profiler, as `profilers.start` takes it, a workload, and how many rounds of it."""

    profiler: tuple[str, dict[str, Any]]
    workload: str
    rounds: int
    warm_up: int
    helper: str

    def run(self, folder: Path) -> dict[str, float]:
        """Start the profiler, set the workload up, warm up, and measure the rounds.

        Returns seconds, bytes, and what the profiler says of itself, per round.
        """
        # What every host of Endoscope has, so that only the profiler makes a difference in
        # memory; `idle_cost.py` weighs the rest.
        import endoscope_memory.settings  # noqa: F401

        started = profilers.start(*self.profiler, folder)
        gc.collect()
        gc.freeze()  # objects of the profiler's are not to make each collection longer
        work = WORKLOADS[self.workload][0]()
        beneath(DEPTH, lambda: repeat(work, self.warm_up))
        samples, sampling = started.samples()
        cpu = self._measure(work)
        samples_after, sampling_after = started.samples()
        return {
            "cpu": cpu / self.rounds,
            "samples": (samples_after - samples) / self.rounds,
            "sampling": (sampling_after - sampling) / self.rounds,
            "resident": status("VmRSS"),
            "peak": status("VmHWM"),
        }

    def _measure(self, work: Work) -> float:
        """Return the seconds of CPU of all rounds. Under valgrind nothing else is counted."""
        count_instructions = ctypes.CDLL(self.helper).count_instructions
        before = cpu_seconds()
        count_instructions(1)
        beneath(DEPTH, lambda: repeat(work, self.rounds))
        count_instructions(0)
        return cpu_seconds() - before


def beneath(depth: int, call: Callable[[], None]) -> None:
    """Make a call under so many frames."""
    if depth:
        beneath(depth - 1, call)
    else:
        call()


def repeat(work: Work, rounds: int) -> None:
    """Work so many rounds."""
    for _ in range(rounds):
        work()


def cpu_seconds() -> float:
    """Return what all threads of this process have used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def status(field: str) -> int:
    """Return what the kernel says of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
