"""What the kernel says of a process."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Process:
    """What the kernel says of a process. `started` is in ticks since boot."""

    state: str
    parent: int
    started: int

    @property
    def has_ended(self) -> bool:
        """Whether it only waits for its parent to notice its end."""
        return self.state in "ZX"

    @property
    def unix_started(self) -> float:
        """When it started, Unix seconds."""
        return unix_time(self.started)


def unix_time(ticks: int) -> float:
    """Return Unix seconds for ticks since boot."""
    since_boot = ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)


def read_process(pid: int) -> Process | None:
    """Return what the kernel says of a process; None if there is none, or no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command's name, in parentheses, may hold anything.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Process(fields[0].decode(), int(fields[1]), int(fields[19]))
