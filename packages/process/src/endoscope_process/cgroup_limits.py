"""What the control groups allow, and what is used of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from endoscope import told
from endoscope_process import cgroup, cpu_list, proc
from endoscope_process.cgroup import Cgroup, number_in, numbers_in, text_in
from endoscope_process.limits import UNLIMITED, Unlimited

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MEMORY = {
    1: {
        "limit_bytes": "memory.limit_in_bytes",
        "soft_limit_bytes": "memory.soft_limit_in_bytes",
        "current_bytes": "memory.usage_in_bytes",
        "peak_bytes": "memory.max_usage_in_bytes",
        "memory_and_swap_limit_bytes": "memory.memsw.limit_in_bytes",
        "memory_and_swap_current_bytes": "memory.memsw.usage_in_bytes",
        "limit_hits": "memory.failcnt",
    },
    2: {
        "limit_bytes": "memory.max",
        "high_bytes": "memory.high",
        "low_bytes": "memory.low",
        "current_bytes": "memory.current",
        "peak_bytes": "memory.peak",
        "swap_limit_bytes": "memory.swap.max",
        "swap_current_bytes": "memory.swap.current",
        "kill_all_together": "memory.oom.group",
    },
}
_MEMORY_EVENTS = {1: "memory.oom_control", 2: "memory.events"}
_WEIGHT = {1: "cpu.shares", 2: "cpu.weight"}
_CPUSET = {
    1: {
        "cpus": "cpuset.cpus",
        "effective_cpus": "cpuset.effective_cpus",
        "memory_nodes": "cpuset.mems",
    },
    2: {
        "cpus": "cpuset.cpus",
        "effective_cpus": "cpuset.cpus.effective",
        "memory_nodes": "cpuset.mems.effective",
    },
}
_PIDS = {"limit": "pids.max", "current": "pids.current", "peak": "pids.peak"}


@dataclass(frozen=True, slots=True)
class Lowest:
    """The lowest limit of a group and all groups above it, and where it is set.

    `directory` is None where that is out of sight, or where there is no limit at all.
    """

    value: float | Unlimited
    directory: str | None


def tell(root: Path = Path("/")) -> dict[str, object]:
    """Return the groups that `/proc` and `/sys` below `root` show, by controller.

    What only one version has is missing from the other; what could be there and is not is null.
    """
    found = cgroup.groups(root)
    about = {"memory": memory, "cpu": cpu, "cpuset": cpuset, "pids": pids}
    return {
        "lines": proc.read(root / "proc/self/cgroup").splitlines(),
        **{name: told(partial(_about, name, tell, found)) for name, tell in about.items()},
    }


def _about(
    controller: str, tell: Callable[[Cgroup], dict[str, object]], found: Mapping[str, Cgroup]
) -> dict[str, object]:
    group = cgroup.group_with(controller, found)
    return {"version": group.version, "directory": str(group.directory), **tell(group)}


def memory(group: Cgroup) -> dict[str, object]:
    """Return limits and use in bytes, the events, and the kernel's statistics as they are."""
    return {
        **_numbers(group, _MEMORY[group.version]),
        "lowest_limit_bytes": lowest_memory_limit(group),
        "events": numbers_in(group.directory / _MEMORY_EVENTS[group.version]),
        "statistics": numbers_in(group.directory / "memory.stat"),
    }


def lowest_memory_limit(group: Cgroup) -> Lowest:
    """Return the limit, in bytes, at which this group's processes run out of memory."""
    lowest = _lowest(group, lambda level: number_in(level / _MEMORY[group.version]["limit_bytes"]))
    statistics = numbers_in(group.directory / "memory.stat") or {}
    # Version 1 tells of limits that are out of sight from inside a container.
    everywhere = cgroup.number(str(statistics.get("hierarchical_memory_limit", "")))
    return min(lowest, Lowest(UNLIMITED if everywhere is None else everywhere, None), key=_amount)


def oom_kills(group: Cgroup) -> int | None:
    """Return how many processes of the group the kernel has killed for want of memory."""
    events = numbers_in(group.directory / _MEMORY_EVENTS[group.version]) or {}
    return events.get("oom_kill")


def cpu(group: Cgroup) -> dict[str, object]:
    """Return the quota as a number of processors, the weight or shares, and the throttling."""
    weight = _WEIGHT[group.version]
    return {
        "quota_cpus": quota(group.version, group.directory),
        "lowest_quota_cpus": lowest_quota(group),
        weight.removeprefix("cpu."): number_in(group.directory / weight),
        "throttling": throttling(numbers_in(group.directory / "cpu.stat")),
        "statistics": numbers_in(group.directory / "cpu.stat"),
    }


def lowest_quota(group: Cgroup) -> Lowest:
    """Return how many processors' time the group gets at the most."""
    return _lowest(group, lambda level: quota(group.version, level))


def quota(version: int, directory: Path) -> float | Unlimited | None:
    """Return what one directory allows, in processors: time used by time gone by."""
    if version == 1:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        of_period, period = (number_in(directory / name) for name in names)
    else:
        words = (text_in(directory / "cpu.max") or "").split()
        of_period, period = map(cgroup.number, words) if len(words) == 2 else (None, None)
    if isinstance(of_period, int) and isinstance(period, int) and period:
        return round(of_period / period, 3)
    return UNLIMITED if of_period == UNLIMITED else None


def throttling(statistics: Mapping[str, int] | None) -> dict[str, float | None]:
    """Return in how many periods the group was held up, and for how many seconds in all."""
    counted = statistics or {}
    micro, nano = counted.get("throttled_usec"), counted.get("throttled_time")
    seconds = micro / 1e6 if micro is not None else nano / 1e9 if nano is not None else None
    return {
        "periods": counted.get("nr_periods"),
        "throttled_periods": counted.get("nr_throttled"),
        "throttled_seconds": seconds,
    }


def cpuset(group: Cgroup) -> dict[str, object]:
    """Return the processors and memory nodes, as lists such as `0-3,8`, and their number."""
    files = _CPUSET[group.version]
    lists = {key: text_in(group.directory / file) for key, file in files.items()}
    effective = lists["effective_cpus"]
    return {**lists, "effective_count": None if effective is None else cpu_list.count(effective)}


def pids(group: Cgroup) -> dict[str, object]:
    """Return how many processes and threads there may be, are, and were."""
    return {
        **_numbers(group, _PIDS),
        "lowest_limit": _lowest(group, lambda level: number_in(level / _PIDS["limit"])),
        "events": numbers_in(group.directory / "pids.events"),
    }


def _numbers(group: Cgroup, files: Mapping[str, str]) -> dict[str, object]:
    return {key: number_in(group.directory / file) for key, file in files.items()}


def _lowest(group: Cgroup, limit: Callable[[Path], float | Unlimited | None]) -> Lowest:
    limits = ((limit(level), level) for level in group.levels())
    rows = [Lowest(value, str(level)) for value, level in limits if isinstance(value, int | float)]
    return min(rows, key=_amount, default=Lowest(UNLIMITED, None))


def _amount(lowest: Lowest) -> float:
    return float("inf") if lowest.value == UNLIMITED else float(lowest.value)
