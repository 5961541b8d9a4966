"""The names of the environment's variables. Never a value: secrets are among them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from endoscope import told
from endoscope_process import command_line, proc

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Changes:
    """Names of the variables that differ between the start of the process and now."""

    added: list[str]
    removed: list[str]
    changed: list[str]


def tell() -> dict[str, object]:
    """Return the names now, the names at the start, and where the two differ."""
    now = _now()
    return {
        "names": sorted(now),
        "names_at_start": told(lambda: sorted(_at_start())),
        "since_start": told(lambda: changes(_at_start(), now)),
    }


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> Changes:
    """Compare two environments, by value, and name what differs."""
    both = before.keys() & after.keys()
    return Changes(
        added=sorted(after.keys() - before.keys()),
        removed=sorted(before.keys() - after.keys()),
        changed=sorted(name for name in both if before[name] != after[name]),
    )


def variables(block: bytes) -> dict[str, str]:
    """Return the variables of an `environ` file, where each entry ends with a NUL."""
    pairs = (os.fsdecode(entry).partition("=") for entry in block.split(b"\0"))
    return {name: value for name, equals, value in pairs if name and equals}


def _now() -> dict[str, str]:
    # The names first, at once: other threads may set variables meanwhile.
    return {name: os.environ.get(name, "") for name in list(os.environ)}


def _at_start() -> dict[str, str]:
    if command_line.is_overwritten():
        # A title that is longer than the arguments runs on into the environment. What is left
        # of the variable that it ends in may be a part of a secret, and look like a name.
        raise ValueError("the arguments are not Python's: a title may reach into the environment")
    return variables(proc.read_bytes("/proc/self/environ"))
