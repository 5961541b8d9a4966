"""How much memory the process has, and the machine."""

from __future__ import annotations

from functools import partial

from endoscope import told
from endoscope_process import proc

_OOM_FILES = {"score": "oom_score", "score_adjustment": "oom_score_adj"}


def tell() -> dict[str, object]:
    """Return, in bytes: counters of the process, sums over its mappings, and the machine's.

    The sums take the kernel some milliseconds for each gigabyte that is resident. The names are
    the kernel's: proc(5), proc_pid_smaps(5).
    """
    return {
        "status": told(status),
        "mappings": told(lambda: proc.byte_fields(proc.read("/proc/self/smaps_rollup"))),
        "out_of_memory": {name: told(partial(_number, file)) for name, file in _OOM_FILES.items()},
        "machine": told(lambda: proc.byte_fields(proc.read("/proc/meminfo"))),
    }


def status() -> dict[str, int]:
    """Return the counters of `/proc/self/status`, such as VmRSS, VmHWM and VmSwap, in bytes."""
    return proc.byte_fields(proc.read("/proc/self/status"))


def _number(file: str) -> int:
    return int(proc.read(f"/proc/self/{file}"))
