"""Breaks no rule."""

from __future__ import annotations

from endoscope import (
    Access,
    ArchiveMember,
    Json,
    ManifestEntry,
    Parameter,
    Plugin,
    PluginSettings,
    Problem,
    Route,
    hookimpl,
)


class GoodSettings(PluginSettings):
    greeting: str = "hello"
    """What the route says."""


class GoodPlugin(Plugin[GoodSettings]):
    Settings = GoodSettings

    @hookimpl
    def endoscope_problems(self):
        return [Problem("info", "good is good")]

    @hookimpl
    def endoscope_routes(self):
        loud = Parameter("loud", "in capital letters or not", choices=("yes", "no"))
        return [
            Route("GET", "", self.greet, Access.READ, "A greeting", (loud,)),
            Route("GET", "/to/{name}", self.greet, Access.READ, "A greeting to somebody"),
            Route("POST", "/greet", self.greet, Access.ACT, "A greeting, posted"),
        ]

    @hookimpl
    def endoscope_archive_members(self):
        return [
            ArchiveMember("bytes.txt", b"good bytes\n", group="good"),
            ArchiveMember("callable.txt", lambda: b"good callable\n", group="good"),
        ]

    @hookimpl
    def endoscope_manifest_entries(self):
        return [ManifestEntry("good", "greeting", self.context.settings.greeting)]

    def greet(self, request):
        whom = request.path_parameters.get("name", request.principal)
        text = f"{self.context.settings.greeting} {whom}"
        return Json({"greeting": text.upper() if request.query.get("loud") == "yes" else text})
