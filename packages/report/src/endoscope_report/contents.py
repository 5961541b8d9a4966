"""What lies in an archive: its members and its manifest, without a look into any file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from endoscope.errors import EndoscopeError
from endoscope_report import manifest
from endoscope_report.byte_stream import opened
from endoscope_report.manifest import MANIFEST_JSON, Manifest
from endoscope_report.tar_reader import Member, TarReader


@dataclass(slots=True)
class Contents:
    """What was found until the end, or until `trouble`, which is empty if there was none.

    Without a manifest the archive is incomplete.
    """

    members: list[Member] = field(default_factory=list)
    manifest: Manifest | None = None
    trouble: str = ""


def contents_of(path: Path, progress: Callable[[int], None] = lambda _done: None) -> Contents:
    """Read the archive at `path`, `-` for standard input, to its end.

    `progress` is told how many bytes of the file are read. Raises `EndoscopeError` if it is no
    archive, or cannot be read at all.
    """
    found = Contents()
    try:
        with opened(path, progress) as stream:
            _read(TarReader(stream), found)
    except EndoscopeError as error:
        if error.code == "unreadable":
            raise
        if error.code == "no_archive":
            raise EndoscopeError(f"{path}: {error.message}", remedy=error.remedy) from error
        found.trouble = error.message
    return found


def _read(reader: TarReader, found: Contents) -> None:
    for member, content in reader:
        found.members.append(member)
        if member.path == MANIFEST_JSON:
            found.manifest = manifest.read(member, content)
    reader.finish()
