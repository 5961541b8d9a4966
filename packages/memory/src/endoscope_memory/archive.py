"""What goes into an archive, and into its manifest."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from endoscope import ArchiveMember, ManifestEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from endoscope import FileContent
    from endoscope_memory.dumps import DumpFolder
    from endoscope_memory.recorder import Recorder
    from endoscope_memory.views import Views

SECONDS_FOR_A_VIEW = 10
"""How long making a view may take, of the time that export gives to all of our members."""

_GROUP = "memory"


def members(recorder: Recorder, dumps: DumpFolder, views: Views) -> list[ArchiveMember]:
    """Return the status, small and first, the dumps, newest first, and what they show."""
    status = ArchiveMember("status.json", partial(_status, recorder), _GROUP)
    names = [dump.name for dump in dumps.newest_first()]
    return [status, *(_member(dumps, name) for name in names), *_views(views, names)]


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
    return ArchiveMember(name, partial(dumps.open, name), _GROUP, verbatim=True)


def _views(views: Views, names: Sequence[str]) -> list[ArchiveMember]:
    """Return the newest dump's flame graph, and with another one to compare it with, growth."""
    members = []
    if names:
        page = partial(views.of_dump, names[0], {"format": "flamegraph"})
        source = partial(_file, page)
        members.append(ArchiveMember("flamegraph.html", source, _GROUP, slow=True, verbatim=True))
    if len(names) > 1:
        table = partial(views.of_growth, {"format": "text"})
        members.append(ArchiveMember("growth.txt", partial(_file, table), _GROUP, slow=True))
    return members


def _file(view: Callable[[], FileContent]) -> BinaryIO:
    return view().file


def _status(recorder: Recorder) -> bytes:
    return json.dumps(asdict(recorder.status()), indent=2).encode() + b"\n"
