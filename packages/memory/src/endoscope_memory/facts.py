"""What a dump says of itself in front of its symbols, where `jeprof` passes it over."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def preface(facts: Mapping[str, str]) -> bytes:
    """Return the lines: the program that `jeprof` shows, then `# key: value` for each fact."""
    lines = [f"binary={_escaped(sys.executable or 'python')}"]
    lines += [f"# {key}: {_escaped(value)}" for key, value in facts.items()]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def resident_bytes() -> int | None:
    """Return how much of this process is in memory; None where the kernel does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _escaped(text: str) -> str:
    # What would end the line, and the sign that says so.
    return "".join(f"%{ord(c):02X}" if c < " " or c in "%\x7f" else c for c in text)
