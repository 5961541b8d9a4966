"""Returns a right record between two wrong ones."""

from __future__ import annotations

from endoscope import (
    Access,
    ArchiveMember,
    ManifestEntry,
    Plugin,
    PluginSettings,
    Route,
    Text,
    hookimpl,
)


class WrongTypePlugin(Plugin[PluginSettings]):
    @hookimpl
    def endoscope_problems(self):
        return 42

    @hookimpl
    def endoscope_routes(self):
        right = Route("GET", "/right", lambda _: Text("right"), Access.READ, "Right")
        wrong = Route("GET", "/wrong", lambda _: "not an answer", Access.READ, "Wrong")
        return ["GET /left", right, wrong, 42]

    @hookimpl
    def endoscope_archive_members(self):
        return ["left.txt", ArchiveMember("right.txt", b"right\n", group="wrong_type"), 42]

    @hookimpl
    def endoscope_manifest_entries(self):
        return ["left", ManifestEntry("wrong_type", "right", 1), 42]
