"""Who the process is to the kernel, and what it is allowed to do."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from endoscope import told
from endoscope_process import cpu_list, proc
from endoscope_process.proc import Stat

if TYPE_CHECKING:
    from collections.abc import Mapping

# capabilities(7), by bit; a process that may do what a newer kernel knows shows a number.
CAPABILITIES = (
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
)
_SETS = {
    "effective": "CapEff",
    "permitted": "CapPrm",
    "inheritable": "CapInh",
    "bounding": "CapBnd",
    "ambient": "CapAmb",
}
_SECCOMP = {"0": "off", "1": "strict", "2": "filter"}
_POLICIES = ("other", "fifo", "round robin", "batch", "iso", "idle", "deadline", "ext")
_NICE, _POLICY = 19, 41  # fields of proc_pid_stat(5)
_LINKS = {"working_directory": "cwd", "executable": "exe", "root": "root"}


def tell() -> dict[str, object]:
    """Return the process's identity, rights and places; of its threads, the main one's."""
    links = {
        name: told(partial(os.readlink, f"/proc/self/{link}")) for name, link in _LINKS.items()
    }
    return {
        "pid": os.getpid(),
        "parent_pid": os.getppid(),
        "status": told(lambda: rights(proc.fields(proc.read("/proc/self/status")))),
        "scheduling": told(lambda: scheduling(Stat.of(proc.read("/proc/self/stat")))),
        **links,
    }


def rights(status: Mapping[str, str]) -> dict[str, object]:
    """Return what the fields of `/proc/self/status` say; null for those that are missing.

    `umask` is octal, as people write it. Each identity is real, effective, saved, and the one
    for files.
    """
    return {
        "uid": _numbers(status.get("Uid", "")),
        "gid": _numbers(status.get("Gid", "")),
        "groups": _numbers(status.get("Groups", "")),
        "pids_in_namespaces": _numbers(status.get("NSpid", "")),
        "umask": status.get("Umask"),
        "no_new_privileges": _flag(status.get("NoNewPrivs")),
        "seccomp": _SECCOMP.get(status.get("Seccomp", "")),
        "cpus_allowed": status.get("Cpus_allowed_list"),
        "cpus_allowed_count": cpu_list.count(status.get("Cpus_allowed_list", "")),
        "capabilities": {name: capabilities(status.get(field)) for name, field in _SETS.items()},
    }


def capabilities(mask: str | None) -> list[str] | None:
    """Return the names of a set that is written as a hexadecimal number; None if it is not."""
    try:
        bits = int(mask or "", 16)
    except ValueError:
        return None
    positions = (position for position in range(bits.bit_length()) if bits >> position & 1)
    return [_capability(position) for position in positions]


def scheduling(stat: Stat) -> dict[str, object]:
    """Return niceness and policy of the main thread. Raises `ValueError` for a broken file."""
    policy = stat.number(_POLICY)
    return {
        "nice": stat.number(_NICE),
        "policy": _POLICIES[policy] if 0 <= policy < len(_POLICIES) else str(policy),
    }


def _capability(position: int) -> str:
    return CAPABILITIES[position] if position < len(CAPABILITIES) else str(position)


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split() if proc.is_number(word)]


def _flag(text: str | None) -> bool | None:
    return None if text is None else text == "1"
