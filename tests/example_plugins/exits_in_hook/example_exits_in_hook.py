"""Exits in two hooks."""

from __future__ import annotations

import sys

from endoscope import Plugin, PluginSettings, hookimpl


class ExitsInHookPlugin(Plugin[PluginSettings]):
    @hookimpl
    def endoscope_routes(self):
        sys.exit(7)

    @hookimpl
    def endoscope_archive_members(self):
        sys.exit(7)
