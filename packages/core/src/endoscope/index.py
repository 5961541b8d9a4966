"""Core's own routes: the index, which is the manual, and the plugins."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from endoscope.assembly import Assembly
from endoscope.contributions import PREFIX, Access, Answer, Json, Parameter, Request, Route, Text

Routes = Mapping[str, tuple[Route, ...]]


class Index:
    """Answers `GET /diagnostics` and `GET /diagnostics/plugins`.

    `served` are the routes as clients find them, which are more than `routes`, of this process.
    """

    def __init__(self, assembly: Assembly, contributed: Routes) -> None:
        self._assembly = assembly
        self._contributed = contributed
        self.served: Routes = {}

    def routes(self) -> Routes:
        """Return every route there is by prefix, core's own under the empty one."""
        own = (
            Route(
                "GET",
                "",
                self.show,
                Access.READ,
                "This index",
                (Parameter("format", "json (default) or text, for a terminal", ("json", "text")),),
            ),
            Route(
                "GET", "/plugins", self.plugins, Access.READ, "Plugins, their hooks and failures"
            ),
        )
        return {"": own, **self._contributed}

    def show(self, request: Request) -> Answer:
        """Describe the service and everything that can be asked of it."""
        facts = self._facts()
        if request.query.get("format") == "text":
            return Text(_as_text(facts))
        return Json(facts)

    def plugins(self, request: Request) -> Answer:  # noqa: ARG002  every handler is handed it
        """List all installed plugins, those that failed or are disabled included."""
        return Json([dataclasses.asdict(report) for report in self._assembly.plugins.reports()])

    def _facts(self) -> dict[str, Any]:
        identity = self._assembly.identity
        return {
            "service": identity.service_name,
            "service_version": identity.service_version,
            "version": identity.endoscope_version,
            "python": identity.python_version,
            "pid": identity.pid,
            "uptime_seconds": round(time.time() - identity.process_started, 3),
            "routes": [
                {
                    "method": route.method,
                    "path": PREFIX + prefix + route.path,
                    "access": route.access.value,
                    "summary": route.summary,
                    "parameters": {p.name: p.summary for p in route.parameters},
                }
                for prefix, routes in self.served.items()
                for route in routes
            ],
        }


def _as_text(facts: Mapping[str, Any]) -> str:
    routes = facts["routes"]
    width = max(len(route["path"]) for route in routes)
    lines = [
        f"{facts['service']}: Endoscope {facts['version']} on Python {facts['python']}",
        f"pid {facts['pid']}, up {facts['uptime_seconds']:.0f} s",
        "",
    ]
    for route in routes:
        place = f"{route['method']:<6} {route['path']:<{width}}"
        lines.append(f"{place}  {route['access']:<4}  {route['summary']}")
        for name, summary in route["parameters"].items():
            lines.append(f"{'':<{len(place)}}        ?{name}= {summary}")
    return "\n".join(lines) + "\n"
