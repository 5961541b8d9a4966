"""`?process=PID|all`: which process of the service a request is for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from endoscope.contributions import (
    Access,
    Answer,
    Json,
    Parameter,
    Reach,
    Request,
    Route,
)
from endoscope.errors import BadRequestError, EndoscopeError, NotFoundError
from endoscope.processes.frames import Frame
from endoscope.processes.listing import rows
from endoscope.processes.presence import Presence
from endoscope.processes.sibling import ANSWER_SECONDS, Sibling, ask_frame, exchange_all

_PARAMETER = Parameter("process", "id of another process of the service, or all")
_EVERY = "all"

Routes = Mapping[str, tuple[Route, ...]]


class Addressing:
    """Routes that pass on what is for other processes than this one."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence

    def extended(self, routes: Routes) -> Routes:
        """Return the routes, by prefix, with the parameter where it makes sense."""
        extended = {
            prefix: tuple(self._extended(prefix, route) for route in group)
            for prefix, group in routes.items()
        }
        own = Route(
            "GET",
            "/processes",
            self._list,
            Access.READ,
            "The processes of this service",
            reach=Reach.SERVICE,
        )
        return {**extended, "": (*extended.get("", ()), own)}

    def _list(self, _request: Request) -> Json:
        self._presence.mind_the_door()
        return Json(rows(self._presence.siblings(), self._presence.holder()))

    def _extended(self, prefix: str, route: Route) -> Route:
        taken = {parameter.name for parameter in route.parameters}
        if route.reach is Reach.SERVICE or _PARAMETER.name in taken:
            return route
        name = route_name(prefix, route)

        def handler(request: Request) -> Answer:
            return self._answer(name, route, request)

        parameters = (*route.parameters, _PARAMETER)
        return dataclasses.replace(route, handler=handler, parameters=parameters)

    def _answer(self, name: str, route: Route, request: Request) -> Answer:
        self._presence.mind_the_door()
        wanted = request.query.get(_PARAMETER.name)
        query = {k: v for k, v in request.query.items() if k != _PARAMETER.name}
        request = dataclasses.replace(request, query=query)
        if wanted is None or wanted == str(self._presence.name.pid):
            return route.handler(request)
        if wanted != _EVERY:
            return self._found(wanted).ask(name, request)
        if route.reach is Reach.GATHERED:
            return route.handler(dataclasses.replace(request, every_process=True))
        return self._collected(name, route, request)

    def _found(self, wanted: str) -> Sibling:
        if not wanted.isascii() or not wanted.isdigit():
            raise BadRequestError(
                f"process={wanted!r} is not possible here",
                remedy="Give a process id, or all: GET /diagnostics/processes lists them.",
                code="bad_parameter",
            )
        for sibling in self._presence.siblings():
            if str(sibling.pid) == wanted:
                return sibling
        raise NotFoundError(
            f"this service has no process {wanted}",
            remedy="GET /diagnostics/processes lists those there are.",
            code="process_not_found",
        )

    def _collected(self, name: str, route: Route, request: Request) -> Json:
        """Have every process answer, and put the answers side by side."""
        frame = ask_frame(name, request, lasting=bool(route.lasting))
        replies = exchange_all(self._presence.siblings(), frame, ANSWER_SECONDS)
        found = [_outcome(sibling, reply) for sibling, reply in replies.items()]
        found.sort(key=lambda row: row["pid"])
        failed = any(row["status"] >= 400 for row in found)
        return Json({"processes": found}, status=207 if failed else 200)


def route_name(prefix: str, route: Route) -> str:
    """Return what a route is called between processes: `POST /memory/start`."""
    return f"{route.method} {prefix}{route.path}"


def by_name(routes: Routes) -> dict[str, Route]:
    """Return all routes by their names between processes."""
    return {route_name(prefix, route): route for prefix, group in routes.items() for route in group}


def _outcome(sibling: Sibling, reply: Frame | EndoscopeError) -> dict[str, Any]:
    try:
        if isinstance(reply, EndoscopeError):
            raise reply
        if reply.message["kind"] != "json":
            reply.close()
            raise BadRequestError(
                "only answers in JSON can be collected from all processes",
                remedy="Ask one process: process=PID.",
                code="not_collectable",
            )
    except EndoscopeError as error:
        return {"pid": sibling.pid, "status": error.status, "error": error.body()}
    facts = reply.message
    return {"pid": sibling.pid, "status": facts["status"], "answer": facts["value"]}
