"""The libjemalloc that a program is started with: found, judged, put into its environment."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from endoscope_memory import malloc_conf, native

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from endoscope_memory.settings import MemorySettings

PROFILERS = ("auto", "jemalloc")
"""The values of `memory.profiler` that mean jemalloc, if it can be had."""

_NAMES = ("libjemalloc.so.2", "libjemalloc.so")
_INSTALL_COMMANDS = {
    "debian": "apt-get install libjemalloc2",
    "fedora": "dnf install jemalloc",
    "arch": "pacman -S jemalloc",
    "suse": "zypper install libjemalloc2",
    "alpine": "apk add jemalloc",
}


def launch_environment(settings: MemorySettings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that give a program a profiled heap; none if no jemalloc is found.

    What `environment` says already stays: a jemalloc in `LD_PRELOAD`, options in
    `MALLOC_CONF` (of one given twice jemalloc takes the last). Without the native part, small
    objects are seen only if they come from malloc, which costs the program some 5%.
    """
    is_meant = sys.platform == "linux" and settings.profiler in PROFILERS
    library = find(settings, environment) if is_meant else None
    if library is None:
        return {}
    malloc = environment.get("PYTHONMALLOC") or "malloc"
    options = {
        "prof": "true",
        "prof_active": "false",
        "lg_prof_sample": str(settings.lg_sample_interval),
    }
    return {
        "LD_PRELOAD": _preload(environment.get("LD_PRELOAD", ""), library),
        "MALLOC_CONF": malloc_conf.extend(environment.get("MALLOC_CONF", ""), options),
        **({"PYTHONMALLOC": malloc} if native.obstacle() else {}),
    }


def find(settings: MemorySettings, environment: Mapping[str, str]) -> Path | None:
    """Return the libjemalloc to preload, or None.

    The one that is set, and no other; else the first that fits this Python's machine out of the
    loader's cache, the usual places and `$CONDA_PREFIX/lib`.
    """
    candidates = [settings.jemalloc_path] if settings.jemalloc_path else _candidates(environment)
    return next((path for path in candidates if _fits_this_machine(path)), None)


def install_command() -> str:
    """Return the command that installs jemalloc on this system, Debian's where in doubt."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    families = f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".split()
    known = (_INSTALL_COMMANDS[family] for family in families if family in _INSTALL_COMMANDS)
    return next(known, _INSTALL_COMMANDS["debian"])


def _preload(present: str, library: Path) -> str:
    # ld.so takes blanks and colons between the entries.
    entries = re.split(r"[ :]+", present.strip(" :")) if present.strip(" :") else []
    if any("jemalloc" in Path(entry).name for entry in entries):
        return present
    return ":".join([*entries, str(library)])


def _candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    yield from _loader_cache()
    multiarch = sysconfig.get_config_var("MULTIARCH")
    folders = [f"/usr/lib/{multiarch}"] if multiarch else []
    folders += ["/usr/lib64", "/usr/lib", "/usr/local/lib64", "/usr/local/lib"]
    if conda := environment.get("CONDA_PREFIX"):
        folders.append(f"{conda}/lib")
    for folder in folders:
        yield from (Path(folder, name) for name in _NAMES)


def _loader_cache() -> list[Path]:
    # An ordinary user's PATH need not hold /sbin.
    search = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    if (ldconfig := shutil.which("ldconfig", path=search)) is None:
        return []
    command = [ldconfig, "-p"]
    try:
        listing = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return _jemallocs_in(listing.stdout)


def _jemallocs_in(listing: str) -> list[Path]:
    # A row is: name, in parentheses the kinds of machine it is for, an arrow, the path.
    rows = (line.strip().partition(" => ") for line in listing.splitlines())
    return [Path(path) for what, _, path in rows if what.split(" ")[0] in _NAMES]


def _fits_this_machine(library: Path) -> bool:
    machine = _elf_machine(library)
    return machine is not None and machine == _elf_machine(Path(sys.executable))


def _elf_machine(path: Path) -> tuple[bytes, bytes] | None:
    # Word size and byte order are at 4 and 5, the machine at 18 (System V ABI, "ELF Header").
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError:
        return None
    return (head[4:6], head[18:20]) if head.startswith(b"\x7fELF") else None
