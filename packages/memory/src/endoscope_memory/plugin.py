"""The memory plugin: which hook is answered by what."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from endoscope import Plugin, hookimpl
from endoscope_memory import archive, outlook, preload, profiler
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.recorder import Recorder
from endoscope_memory.routes import routes
from endoscope_memory.settings import MemorySettings
from endoscope_memory.views import Views

if TYPE_CHECKING:
    from collections.abc import Mapping

    from endoscope import (
        ArchiveMember,
        ManifestEntry,
        PluginContext,
        Problem,
        ProcessFact,
        Route,
    )


class MemoryPlugin(Plugin[MemorySettings]):
    """Heap profiles of the running process."""

    Settings = MemorySettings

    def __init__(self, context: PluginContext[MemorySettings]) -> None:
        super().__init__(context)
        self._dumps = DumpFolder(context.output_directory)
        keep_bytes = context.settings.keep_view_bytes
        self._views = Views(self._dumps, keep_bytes)
        self._views_for_archive = Views(self._dumps, keep_bytes, archive.SECONDS_FOR_A_VIEW)
        self._recorder = Recorder(
            context.settings, self._dumps, context.host.service_name, context.logger
        )

    @hookimpl
    def endoscope_launch_environment(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        return preload.launch_environment(self.context.settings, environment)

    @hookimpl
    def endoscope_problems(self, in_host: bool) -> tuple[Problem, ...]:
        if in_host:
            return self._recorder.problems()
        found = outlook.outlook(self.context.settings, self._dumps, os.environ)
        return profiler.problems(found, self.context.settings)

    @hookimpl
    def endoscope_start(self) -> None:
        self._recorder.begin()

    @hookimpl
    def endoscope_routes(self) -> list[Route]:
        return routes(self._recorder, self._dumps, self._views)

    @hookimpl
    def endoscope_process_facts(self) -> list[ProcessFact]:
        return self._recorder.process_facts()

    @hookimpl
    def endoscope_archive_members(self) -> list[ArchiveMember]:
        return archive.members(self._recorder, self._dumps, self._views_for_archive)

    @hookimpl
    def endoscope_manifest_entries(self) -> list[ManifestEntry]:
        return archive.manifest_entries(self._recorder, self._dumps)

    @hookimpl
    def endoscope_stop(self) -> None:
        self._recorder.end()
