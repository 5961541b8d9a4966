"""How much of each resource the process may take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Literal

from endoscope import told
from endoscope_process import proc

Unlimited = Literal["unlimited"]
UNLIMITED: Unlimited = "unlimited"
"""How it is written, in every file, that there is no limit."""

_LINE = re.compile(r"(?P<name>\S.*?) {2,}(?P<soft>\w+) +(?P<hard>\w+)(?: +(?P<units>\w+))? *")

_OF_THE_MACHINE = {
    "processes_and_threads": "kernel/threads-max",
    "process_ids": "kernel/pid_max",
    "open_files": "fs/file-max",
    "open_files_per_process": "fs/nr_open",
    "mappings_per_process": "vm/max_map_count",
    "core_pattern": "kernel/core_pattern",
    "overcommit_memory": "vm/overcommit_memory",
}


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit in `units`: `soft` holds, and the process may raise it up to `hard`."""

    name: str
    soft: int | Unlimited
    hard: int | Unlimited
    units: str | None


def tell() -> dict[str, object]:
    """Return the limits of this process, and those of the machine that are often met."""
    return {
        "process": told(lambda: parse(proc.read("/proc/self/limits"))),
        "machine": {name: told(partial(_setting, path)) for name, path in _OF_THE_MACHINE.items()},
    }


def parse(text: str) -> list[Limit]:
    """Return the limits that a `limits` file lists; lines of another form are passed over."""
    matches = (_LINE.fullmatch(line) for line in text.split("\n"))
    return [limit for match in matches if match and (limit := _limit(match))]


def _limit(match: re.Match[str]) -> Limit | None:
    soft, hard = _amount(match["soft"]), _amount(match["hard"])
    if soft is None or hard is None:
        return None  # the heading
    return Limit(match["name"].removeprefix("Max "), soft, hard, match["units"])


def _amount(text: str) -> int | Unlimited | None:
    if text == UNLIMITED:
        return UNLIMITED
    return int(text) if proc.is_number(text) else None


def _setting(path: str) -> int | str:
    text = proc.read(f"/proc/sys/{path}").strip()
    return int(text) if proc.is_number(text) else text
