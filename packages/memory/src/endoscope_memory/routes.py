"""What can be asked under `/diagnostics/memory`."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from endoscope import Access, BadRequestError, FileContent, Json, Parameter, Reach, Route
from endoscope_memory import rounds, wish
from endoscope_memory.views import bad_requests
from endoscope_profiles.process_views import OUTLIER_FORMATS, OUTLIERS_BY
from endoscope_profiles.views import FORMATS, GROWTH_FORMATS, OPTIONS, whole_number

if TYPE_CHECKING:
    from endoscope import Request
    from endoscope_memory.dumps import DumpFolder
    from endoscope_memory.recorder import Recorder
    from endoscope_memory.views import Views

_MOST_STACKS = 1000
_DOWNLOAD = "Download a heap dump, or a view of it"
_LIMIT = Parameter("limit", f"How many stacks, at most {_MOST_STACKS}; 20 if not given")
_OPTIONS = tuple(Parameter(name, summary) for name, summary in OPTIONS.items())
_SELECTION = tuple(each for each in _OPTIONS if each.name not in ("by", "value"))
_CHOICE = (
    Parameter("dumps", "Dumps, one of each process: names with commas between"),
    Parameter(
        "within",
        "How many seconds older than the newest a process's newest dump may be; "
        f"{rounds.WITHIN_SECONDS} if not given",
    ),
)
_FOR_DUMP = (
    Parameter("format", "prof, the dump itself, if not given", ("prof", *FORMATS)),
    *_OPTIONS,
)
_FOR_DIFF = (
    Parameter("base", "The name of the earlier dump"),
    Parameter("target", "The name of the later dump"),
    Parameter("format", "top if not given", tuple(FORMATS)),
    *_OPTIONS,
)
_FOR_GROWTH = (
    Parameter("format", "json if not given", tuple(GROWTH_FORMATS)),
    Parameter("pid", "The process; that which the newest dump is of if not given"),
    *(option for option in _OPTIONS if option.name != "value"),
)
_FOR_MERGED = (
    Parameter("format", "top if not given", tuple(FORMATS)),
    *_CHOICE,
    Parameter("by", f"{OPTIONS['by']}; or in all formats process, the outermost frame then"),
    *(option for option in _OPTIONS if option.name != "by"),
)
_FOR_OUTLIERS = (
    Parameter("format", "json if not given", tuple(OUTLIER_FORMATS)),
    *_CHOICE,
    Parameter("by", f"What an outlier's excess is told by: {', '.join(OUTLIERS_BY)}"),
    *_SELECTION,
)


def routes(recorder: Recorder, dumps: DumpFolder, views: Views) -> list[Route]:
    """Return the routes, with handlers that may run on several threads at once."""
    handle = _Handlers(recorder, dumps, views)
    return [*_of_the_process(handle), *_of_the_folder(handle)]


def _of_the_process(handle: _Handlers) -> list[Route]:
    """Return the routes to the profiler of each process."""
    read, act, lasting = Access.READ, Access.ACT, "profiling"
    stop = "Switch heap profiling off, keep the samples"
    return [
        Route("GET", "/status", handle.status, read, "The state of heap profiling"),
        Route("POST", "/start", handle.start, act, "Switch heap profiling on", lasting=lasting),
        Route("POST", "/stop", handle.stop, act, stop, lasting=lasting),
        Route("POST", "/dump", handle.dump, act, "Write a heap dump"),
        Route("GET", "/top", handle.top, read, "The biggest stacks of this moment", (_LIMIT,)),
    ]


def _of_the_folder(handle: _Handlers) -> list[Route]:
    """Return the routes to the dumps, which lie in one folder, whichever process they are of."""
    read, act = Access.READ, Access.ACT
    route = partial(Route, reach=Reach.SERVICE)
    diff, growth, merged, outliers = handle.diff, handle.growth, handle.merged, handle.outliers
    return [
        route("GET", "/dumps", handle.list_dumps, read, "The heap dumps, newest first"),
        route("DELETE", "/dumps", handle.clear_dumps, act, "Delete all heap dumps"),
        route("GET", "/dumps/{name}", handle.download, read, _DOWNLOAD, _FOR_DUMP),
        route("GET", "/diff", diff, read, "What grew between two heap dumps", _FOR_DIFF),
        route("GET", "/growth", growth, read, "What grows from dump to dump", _FOR_GROWTH),
        route("GET", "/merged", merged, read, "What all processes hold together", _FOR_MERGED),
        route("GET", "/outliers", outliers, read, "Which process holds more", _FOR_OUTLIERS),
        route("DELETE", "/dumps/{name}", handle.delete_dump, act, "Delete a heap dump"),
    ]


class _Handlers:
    def __init__(self, recorder: Recorder, dumps: DumpFolder, views: Views) -> None:
        self._recorder = recorder
        self._dumps = dumps
        self._views = views

    def status(self, _request: Request) -> Json:
        return Json(asdict(self._recorder.status()))

    def start(self, request: Request) -> Json:
        self._recorder.start(wish.parse(request.body))
        return Json({"status": "started", "message": "Memory profiling activated"})

    def stop(self, _request: Request) -> Json:
        self._recorder.stop()
        return Json({"status": "stopped", "message": "Memory profiling deactivated"})

    def dump(self, _request: Request) -> Json:
        recorded = self._recorder.dump()
        return Json(
            {
                "status": "dumped",
                "message": "Heap dump generated",
                "dump_path": str(self._dumps.directory / recorded.dump.name),
                "name": recorded.dump.name,
                "size": recorded.dump.size,
                "pid": recorded.dump.pid,
                "duration_seconds": round(recorded.seconds, 6),
                "notes": recorded.notes,
            }
        )

    def top(self, request: Request) -> Json:
        with bad_requests():
            limit = whole_number("limit", request.query.get("limit", "20"), _MOST_STACKS)
        return Json(self._recorder.top(limit))

    def list_dumps(self, _request: Request) -> Json:
        return Json(
            [
                {
                    "name": dump.name,
                    "size": dump.size,
                    "timestamp": int(dump.modified),
                    "created": dump.created,
                    "pid": dump.pid,
                }
                for dump in self._dumps.newest_first()
            ]
        )

    def clear_dumps(self, _request: Request) -> Json:
        cleared = self._dumps.clear()
        answer = {
            "status": "partly_cleared" if cleared.errors else "cleared",
            "message": f"{cleared.deleted} heap dumps deleted",
            "deleted_count": cleared.deleted,
        }
        if not cleared.errors:
            return Json(answer)
        errors = [{"name": name, "error": error} for name, error in cleared.errors.items()]
        return Json({**answer, "errors": errors}, status=207)

    def download(self, request: Request) -> FileContent:
        name, options = request.path_parameters["name"], dict(request.query)
        if options.get("format", "prof") != "prof":
            return self._views.of_dump(name, options)
        if options.keys() - {"format"}:
            raise BadRequestError(
                "The dump itself comes as it is, without options",
                remedy=f"Give a format: {', '.join(FORMATS)}.",
                code="bad_parameter",
            )
        file = self._dumps.open(name)
        return FileContent(file, os.fstat(file.fileno()).st_size, name)

    def diff(self, request: Request) -> FileContent:
        options = dict(request.query)
        base, target = options.pop("base", ""), options.pop("target", "")
        if not base or not target:
            raise BadRequestError(
                "Two dumps are needed, base and target",
                remedy="Give both: /diagnostics/memory/diff?base=NAME&target=NAME.",
                code="missing_parameter",
            )
        return self._views.of_difference(base, target, options)

    def growth(self, request: Request) -> FileContent:
        return self._views.of_growth(request.query)

    def merged(self, request: Request) -> FileContent:
        return self._views.merged(request.query)

    def outliers(self, request: Request) -> FileContent:
        return self._views.outliers(request.query)

    def delete_dump(self, request: Request) -> Json:
        name = request.path_parameters["name"]
        self._dumps.delete(name)
        return Json({"status": "deleted", "message": f"Heap dump {name} deleted"})
