"""What goes into an archive, and into its manifest."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from endoscope import ArchiveMember, ManifestEntry

if TYPE_CHECKING:
    from endoscope_memory.dumps import DumpFolder
    from endoscope_memory.recorder import Recorder

_GROUP = "memory"


def members(recorder: Recorder, dumps: DumpFolder) -> list[ArchiveMember]:
    """Return the status, small and first, then the dumps, newest first."""
    status = ArchiveMember("status.json", partial(_status, recorder), _GROUP)
    return [status, *(_member(dumps, dump.name) for dump in dumps.newest_first())]


def manifest_entries(recorder: Recorder, dumps: DumpFolder) -> list[ManifestEntry]:
    """Return what a reader must know before opening a dump."""
    status, files = recorder.status(), dumps.newest_first()
    facts = {
        "profiler": status.profiler,
        "status": status.status,
        "active_since": status.active_since,
        "sample_interval_bytes": status.sample_interval_bytes,
        "python_frames": status.python_frames,
        "dumps": len(files),
        "dumps_bytes": sum(dump.size for dump in files),
    }
    problems = [ManifestEntry("memory", "problem", each.message) for each in status.problems]
    return [*(ManifestEntry("memory", name, value) for name, value in facts.items()), *problems]


def _member(dumps: DumpFolder, name: str) -> ArchiveMember:
    return ArchiveMember(name, partial(dumps.open, name), _GROUP)


def _status(recorder: Recorder) -> bytes:
    return json.dumps(asdict(recorder.status()), indent=2).encode() + b"\n"
