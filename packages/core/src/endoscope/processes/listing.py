"""The list of the processes of a service: `GET /diagnostics/processes`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from endoscope.errors import EndoscopeError
from endoscope.processes.frames import Frame
from endoscope.processes.place import Name
from endoscope.processes.sibling import Sibling, exchange_all
from endoscope.procfs import read_process

DESCRIBE = "describe"
# The list must come though one of them does not answer.
_SECONDS = 2.0


def rows(siblings: tuple[Sibling, ...], holder: Name | None) -> list[dict[str, Any]]:
    """Return a row for each process, the door first, then by id."""
    replies = exchange_all(siblings, Frame({"op": DESCRIBE}), _SECONDS)
    found = [_row(sibling, reply, holder) for sibling, reply in replies.items()]
    return sorted(found, key=lambda row: (row["role"] != "door", row["pid"]))


def _row(sibling: Sibling, reply: Frame | EndoscopeError, holder: Name | None) -> dict[str, Any]:
    name = sibling.name
    told = {} if isinstance(reply, EndoscopeError) else reply.message["facts"]
    process = read_process(name.pid) if name.is_near else None
    started = sibling.process_started
    row = {
        "pid": name.pid,
        "parent": told.get("parent", process.parent if process else None),
        "role": told.get("role", "door" if name == holder else "member"),
        "process_started": datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "uptime_seconds": round(datetime.now(UTC).timestamp() - started, 3),
        "resident_bytes": resident_bytes(name.pid) if name.is_near else told.get("resident_bytes"),
        "state": _state(sibling, reply),
    }
    return {**row, **{key: value for key, value in told.items() if key not in row}}


def _state(sibling: Sibling, reply: Frame | EndoscopeError) -> str:
    if not isinstance(reply, EndoscopeError):
        return "serving"
    return "stopped" if sibling.is_stopped else "not answering"


def describe(facts: Mapping[str, Any], *, is_door: bool) -> Frame:
    """Return what a process tells of itself: core's facts, and what its plugins know."""
    own = {
        "parent": os.getppid(),
        "role": "door" if is_door else "member",
        "resident_bytes": resident_bytes(os.getpid()),
    }
    return Frame({"kind": "facts", "facts": {**facts, **own}})


def resident_bytes(pid: int) -> int | None:
    """Return what a process has in memory; None if it has ended, or without /proc."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return None
