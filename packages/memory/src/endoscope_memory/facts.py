"""What a dump says of itself in front of its symbols, where `jeprof` passes it over."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from endoscope_profiles import jemalloc_heap

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_DIGITS = 10  # of a process id; the kernel's have seven


def preface(facts: Mapping[str, str]) -> bytes:
    """Return the lines: the program that `jeprof` shows, then `# key: value` for each fact."""
    return jemalloc_heap.preface(facts, sys.executable or "python")


def resident_bytes() -> int | None:
    """Return how much of this process is in memory; None where the kernel does not say."""
    try:
        # Not "ascii", whose first use is an import: a child forked in it would wait for ever.
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def pid_in(beginning: bytes) -> int | None:
    """Return the process that a dump with these first bytes is of; None if it does not say."""
    pid = jemalloc_heap.facts_in(beginning).get("pid", "")
    return int(pid) if pid.isascii() and pid.isdigit() and len(pid) <= _MOST_DIGITS else None
