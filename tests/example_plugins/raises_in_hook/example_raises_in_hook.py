"""Raises in three hooks."""

from __future__ import annotations

from endoscope import Plugin, PluginSettings, hookimpl


class RaisesInHookPlugin(Plugin[PluginSettings]):
    @hookimpl
    def endoscope_routes(self):
        raise RuntimeError("raised in routes")

    @hookimpl
    def endoscope_archive_members(self):
        raise RuntimeError("raised in archive members")

    @hookimpl
    def endoscope_manifest_entries(self):
        raise RuntimeError("raised in manifest entries")
