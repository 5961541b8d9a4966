"""The Python plugin: which hook is answered by what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from endoscope import Plugin, PluginSettings, hookimpl

if TYPE_CHECKING:
    from endoscope import ArchiveMember, ManifestEntry


class PythonPlugin(Plugin[PluginSettings]):
    """Facts about the interpreter and what is loaded in it.

    The readers are imported when an archive is made, on its thread, and not while the host
    starts.
    """

    @hookimpl
    def endoscope_archive_members(self) -> list[ArchiveMember]:
        from endoscope_python import archive

        return archive.members()

    @hookimpl
    def endoscope_manifest_entries(self) -> list[ManifestEntry]:
        from endoscope_python import archive

        return archive.manifest_entries()
