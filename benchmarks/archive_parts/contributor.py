"""The plugin that puts the benchmark's files into the archive."""

from __future__ import annotations

import os
from pathlib import Path

from archive_parts.files import files_in
from endoscope import ArchiveMember, Plugin, PluginSettings, hookimpl

FOLDER = "ARCHIVE_BENCHMARK_FILES"
"""The environment variable that says where they are."""


class FilesPlugin(Plugin[PluginSettings]):
    """Contributes a folder."""

    @hookimpl
    def endoscope_archive_members(self) -> list[ArchiveMember]:
        folder = Path(os.environ[FOLDER])
        return [
            ArchiveMember(str(path.relative_to(folder)), path, "files", verbatim=not _is_text(path))
            for path in files_in(folder)
        ]


def _is_text(path: Path) -> bool:
    return path.suffix in {".txt", ".json"}
