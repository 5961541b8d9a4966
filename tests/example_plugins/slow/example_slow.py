"""Hangs in a route, in an archive member and in a hook."""

from __future__ import annotations

import threading

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


class SlowSettings(PluginSettings):
    seconds: float = 3600.0
    """How long each of them hangs."""
    hang_in_members_hook: bool = False
    """Whether the hook that lists the members hangs as well, so that it lists none."""


class SlowPlugin(Plugin[SlowSettings]):
    Settings = SlowSettings

    @hookimpl
    def endoscope_routes(self):
        return [Route("GET", "/hang", lambda _: Text(self.hang()), Access.READ, "Hang")]

    @hookimpl
    def endoscope_archive_members(self):
        if self.context.settings.hang_in_members_hook:
            self.hang()
        return [
            ArchiveMember("before.txt", b"before\n", group="slow"),
            ArchiveMember("hangs.txt", lambda: self.hang().encode(), group="slow"),
            ArchiveMember("after.txt", b"after\n", group="slow"),
        ]

    @hookimpl
    def endoscope_manifest_entries(self):
        return [ManifestEntry("slow", "answer", self.hang())]

    def hang(self) -> str:
        # Nobody sets this event, and no exception reaches a thread that waits for it.
        threading.Event().wait(self.context.settings.seconds)
        return "awake"
