"""The machine, or the container, that the process runs on."""

from __future__ import annotations

import os
import shlex
import time

from endoscope import told
from endoscope_process import container, identity, proc
from endoscope_process.proc import Stat

_RELEASE_FILES = ("/etc/os-release", "/usr/lib/os-release")
_START_TICKS = 22  # field of proc_pid_stat(5)


def tell() -> dict[str, object]:
    """Return the system, how long it and the process have been up, and who the process is."""
    about = {
        "hostname": hostname,
        "kernel": kernel,
        "operating_system": operating_system,
        "cpus_online": os.cpu_count,
        "load_average": os.getloadavg,
        "boot_id": lambda: proc.read("/proc/sys/kernel/random/boot_id").strip(),
        "time": lambda: round(time.time(), 3),
        "uptime_seconds": uptime_seconds,
        "process_started": process_started,
        "container_hints": container.hints,
        "process": identity.tell,
    }
    return {name: told(tell) for name, tell in about.items()}


def hostname() -> str:
    """Return the name that the system gives itself."""
    return os.uname().nodename


def kernel() -> dict[str, str]:
    """Return the kernel's name, release, version, and what machine it is for."""
    answer = os.uname()
    return {
        "name": answer.sysname,
        "release": answer.release,
        "version": answer.version,
        "machine": answer.machine,
    }


def operating_system() -> dict[str, str]:
    """Return what os-release(5) says of the distribution. Raises `OSError` if there is none."""
    for file in _RELEASE_FILES:
        if os.path.exists(file):
            return release(proc.read(file))
    raise FileNotFoundError(f"none of {', '.join(_RELEASE_FILES)} is there")


def release(text: str) -> dict[str, str]:
    """Return the lines `NAME=value` of an os-release file, without the quotes."""
    pairs = (line.strip().partition("=") for line in text.split("\n"))
    return {
        name: _unquoted(value) for name, equals, value in pairs if equals and name.isidentifier()
    }


def uptime_seconds() -> float:
    """Return for how long the system has been up."""
    return float(proc.read("/proc/uptime").split()[0])


def process_started() -> float:
    """Return when the process was started, in Unix seconds."""
    ticks = Stat.of(proc.read("/proc/self/stat")).number(_START_TICKS)
    after_boot = ticks / os.sysconf("SC_CLK_TCK")
    return round(time.time() - uptime_seconds() + after_boot, 2)


def _unquoted(value: str) -> str:
    try:
        return "".join(shlex.split(value))
    except ValueError:  # a quote that is not closed
        return value
