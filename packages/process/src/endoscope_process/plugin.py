"""The process plugin: which hook is answered by what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from endoscope import Plugin, PluginSettings, hookimpl

if TYPE_CHECKING:
    from endoscope import ArchiveMember, ManifestEntry


class ProcessPlugin(Plugin[PluginSettings]):
    """Facts about the running process, as the kernel tells them.

    The readers are imported when an archive is made, on its thread, and not while the host
    starts.
    """

    @hookimpl
    def endoscope_archive_members(self) -> list[ArchiveMember]:
        from endoscope_process import archive

        return archive.members(self.context.host.output_directory)

    @hookimpl
    def endoscope_manifest_entries(self) -> list[ManifestEntry]:
        from endoscope_process import archive

        return archive.manifest_entries()
