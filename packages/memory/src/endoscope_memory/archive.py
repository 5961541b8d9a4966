"""What goes into an archive, and into its manifest."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from endoscope import ArchiveMember, ManifestEntry
from endoscope_memory.rounds import last_round

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from endoscope import FileContent
    from endoscope_memory.dumps import DumpFolder
    from endoscope_memory.listing import Dump
    from endoscope_memory.recorder import Recorder
    from endoscope_memory.views import Views

SECONDS_FOR_A_VIEW = 10
"""How long making a view may take, of the time that export gives to all of our members."""

_GROUP = "memory"


def members(recorder: Recorder, dumps: DumpFolder, views: Views) -> list[ArchiveMember]:
    """Return the status, small and first, the dumps, newest first, and what they show."""
    status = ArchiveMember("status.json", partial(_status, recorder), _GROUP)
    found = dumps.newest_first()
    return [status, *(_member(dumps, each.name) for each in found), *_views(views, found)]


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
    return ArchiveMember(name, partial(dumps.open, name), _GROUP, verbatim=True, shared=True)


def _views(views: Views, dumps: Sequence[Dump]) -> list[ArchiveMember]:
    """Return what is to be seen at once, the most telling first: time may end before the last.

    With dumps of several processes: who stands out, and all of them in one flame graph. Of the
    newest dump its flame graph, and with another one of that process what grew.
    """
    made = []
    if len(last_round(dumps)) > 1:
        made.append(_view("outliers.txt", partial(views.outliers, {"format": "text"})))
        merged = {"format": "flamegraph", "by": "process"}
        made.append(_view("flamegraph-merged.html", partial(views.merged, merged)))
    if dumps:
        page = partial(views.of_dump, dumps[0].name, {"format": "flamegraph"})
        made.append(_view("flamegraph.html", page))
    if any(dump.pid == dumps[0].pid for dump in dumps[1:]):
        made.append(_view("growth.txt", partial(views.of_growth, {"format": "text"})))
    return made


def _view(path: str, view: Callable[[], FileContent]) -> ArchiveMember:
    is_page = path.endswith(".html")
    source = partial(_file, view)
    return ArchiveMember(path, source, _GROUP, slow=True, verbatim=is_page, shared=True)


def _file(view: Callable[[], FileContent]) -> BinaryIO:
    return view().file


def _status(recorder: Recorder) -> bytes:
    return json.dumps(asdict(recorder.status()), indent=2).encode() + b"\n"
