"""Since when this process is profiled, also where it was forked from one that was.

The profilers' state is the process's, and a forked child goes on with it: it samples, and holds
its parent's samples. So what is to be known of it is the process's as well.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """When profiling was started, in Unix seconds.

    `started`: if it was us who started it, and nobody has stopped it. `since`: the first start
    whose samples are still there.
    """

    started: float | None = None
    since: float | None = None


_runs: dict[str, tuple[int, Run]] = {}  # by profiler: the process that was switched, and how


def remember(profiler: str, run: Run) -> None:
    """Remember how a profiler was switched in this process, for the children that it forks."""
    _runs[profiler] = os.getpid(), run


def inherited(profiler: str) -> Run:
    """Return how a profiler had been switched when this process was forked; else nothing."""
    pid, run = _runs.get(profiler, (os.getpid(), Run()))
    return Run() if pid == os.getpid() else run
