"""What goes into an archive, and into its manifest."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from endoscope import ArchiveMember, ManifestEntry, json_document
from endoscope_process import (
    cgroup,
    cgroup_limits,
    command_line,
    descriptors,
    disk,
    environment,
    limits,
    memory,
    system,
    threads,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from endoscope_process.limits import Unlimited

_GROUP = "process"
_ROOT = Path("/")

_DOCUMENTS: dict[str, Callable[[], object]] = {
    "environment.json": environment.tell,
    "limits.json": limits.tell,
    "memory.json": memory.tell,
    "cgroup.json": cgroup_limits.tell,
    "descriptors.json": descriptors.tell,
    "threads.json": threads.tell,
    "system.json": system.tell,
}


def members(output_directory: Path) -> list[ArchiveMember]:
    """Return the files, each made when its turn has come.

    A file system that does not answer takes all the time there is: what asks one is slow, so
    that it takes nothing of the others' time.
    """
    return [
        ArchiveMember("command_line.txt", command_line.text, _GROUP),
        *(ArchiveMember(path, partial(json_document, t), _GROUP) for path, t in _DOCUMENTS.items()),
        ArchiveMember(
            "disk.json",
            partial(json_document, partial(disk.tell, output_directory)),
            _GROUP,
            slow=True,
        ),
    ]


def manifest_entries() -> list[ManifestEntry]:
    """Return what a reader wants to know first; None for what the kernel does not tell."""
    return [ManifestEntry("process", name, _value(tell)) for name, tell in _FACTS.items()]


Value = str | int | float | None


def _value(tell: Callable[[], Value]) -> Value:
    try:
        return tell()
    except Exception:  # noqa: BLE001 - why is in the file that holds all of it
        return None


def _memory(name: str) -> int | None:
    return memory.status().get(name)


def _memory_limit() -> float | Unlimited:
    group = cgroup.group_with("memory", cgroup.groups(_ROOT))
    return cgroup_limits.lowest_memory_limit(group).value


def _oom_kills() -> int | None:
    return cgroup_limits.oom_kills(cgroup.group_with("memory", cgroup.groups(_ROOT)))


def _cpus() -> float | Unlimited:
    return cgroup_limits.lowest_quota(cgroup.group_with("cpu", cgroup.groups(_ROOT))).value


def _operating_system() -> str | None:
    return system.operating_system().get("PRETTY_NAME")


_FACTS: dict[str, Callable[[], Value]] = {
    "resident_bytes": partial(_memory, "VmRSS"),
    "peak_resident_bytes": partial(_memory, "VmHWM"),
    "swapped_bytes": partial(_memory, "VmSwap"),
    "memory_limit_bytes": _memory_limit,
    "oom_kills": _oom_kills,
    "cpu_quota": _cpus,
    "threads": threads.count,
    "descriptors": descriptors.count,
    "descriptor_limit": descriptors.soft_limit,
    "hostname": system.hostname,
    "kernel": lambda: system.kernel()["release"],
    "operating_system": _operating_system,
}
