"""The plugin's door: its hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from endoscope import Plugin, PluginContext, Route, hookimpl
from endoscope_export.routes import ExportRoutes
from endoscope_export.settings import ExportSettings

if TYPE_CHECKING:
    from collections.abc import Iterable


class ExportPlugin(Plugin[ExportSettings]):
    """Serves the archive."""

    Settings = ExportSettings

    def __init__(self, context: PluginContext[ExportSettings]) -> None:
        super().__init__(context)
        self._routes = ExportRoutes(context)

    @hookimpl
    def endoscope_routes(self) -> Iterable[Route]:
        return self._routes.routes()
