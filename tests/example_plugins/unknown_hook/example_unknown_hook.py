"""Misspells endoscope_archive_members."""

from __future__ import annotations

from endoscope import ArchiveMember, Plugin, PluginSettings, hookimpl


class UnknownHookPlugin(Plugin[PluginSettings]):
    @hookimpl
    def endoscope_archive_member(self):
        return [ArchiveMember("never.txt", b"never", group="unknown_hook")]
