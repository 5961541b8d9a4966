"""Files that were compressed once and do not change: kept as gzip streams of their own.

A gzip file may consist of several streams, so that the next archive takes such a one as it is.
They lie in the output directory, found by what makes a file the same file.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from endoscope_export import descriptors
from endoscope_export.content import OpenFile
from endoscope_export.disk import LEFT_FREE_BYTES, free_bytes, nameless_file, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from endoscope_export.content import Content

WORTH_BYTES = 1024 * 1024
"""Smaller files are compressed in no time."""

_READ_BYTES = 256 * 1024
_NAME = re.compile(r"(?P<key>[0-9a-f]{64})-(?P<sha256>[0-9a-f]{64})-(?P<bytes>[0-9]+)\.gz")


@dataclass(frozen=True, slots=True)
class KeptStream:
    """An entry of the tar, compressed, as an open file. `sha256` is of the entry's content."""

    file: BinaryIO
    sha256: str

    def chunks(self) -> Iterator[bytes]:
        """Yield the compressed bytes."""
        while chunk := self.file.read(_READ_BYTES):
            yield chunk

    def close(self) -> None:
        self.file.close()


class KeptStreams:
    """The streams in `folder`, of at most `most` bytes in all; the longest unused go first."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._boot = _boot()
        self._most = most if self._boot else 0

    def key(self, path: str, content: Content) -> str | None:
        """Return what tells one file's entry under `path` from every other.

        None if it is not worth being kept: no file, or too small. The boot is part of it: what
        was written before a power failure may never have reached the disk.
        """
        if self._most <= 0 or not isinstance(content, OpenFile) or content.size < WORTH_BYTES:
            return None
        if content.identity is None:
            return None
        facts = (path, self._boot, *content.identity)
        return hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()

    def find(self, key: str) -> KeptStream | None:
        """Return what is kept under a `key`; the caller closes it."""
        for name, match in self._kept():
            if match["key"] == key:
                with suppress(OSError):  # another process may make room just now
                    return self._opened(name, match)
        return None

    def _opened(self, name: str, match: re.Match[str]) -> KeptStream | None:
        path = self._folder / name
        os.utime(path)
        file = path.open("rb", buffering=0)
        if os.fstat(file.fileno()).st_size != int(match["bytes"]):  # somebody has cut it
            file.close()
            path.unlink()
            return None
        return KeptStream(file, match["sha256"])

    def draft(self, key: str, size: int) -> Draft | None:
        """Return what takes a stream of at most about `size` bytes; None if there is no room."""
        with suppress(OSError):
            if free_bytes(self._folder) >= size + LEFT_FREE_BYTES:
                descriptor = descriptors.opened(nameless_file(self._folder))
                return Draft(self, key, descriptor, self._most)
        return None

    def add(self, descriptor: int, name: str) -> None:
        """Give a file without a name its name, and make room for it. Raises `OSError`."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # With the folder's descriptor: without, Python does not follow to the file itself.
            os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)
        used = 0
        for path, status in self._newest_first():
            used += status.st_size
            if used > self._most:
                path.unlink(missing_ok=True)

    def _kept(self) -> list[tuple[str, re.Match[str]]]:
        try:
            names = os.listdir(self._folder)
        except OSError:  # somebody has cleared up
            return []
        return [(name, match) for name in names if (match := _NAME.fullmatch(name))]

    def _newest_first(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for name, _ in self._kept():
            with suppress(OSError):  # another process makes room, too
                found.append((self._folder / name, os.stat(self._folder / name)))
        return sorted(found, key=lambda each: each[1].st_mtime_ns, reverse=True)


class Draft:
    """A compressed stream that is being written. Unless `keep` is called it leaves nothing.

    What the disk does not take, and what is over `most` bytes, costs the copy, never the archive.
    """

    def __init__(self, kept: KeptStreams, key: str, descriptor: int, most: int) -> None:
        self._kept = kept
        self._key = key
        self._descriptor = descriptor
        self._most = most
        self._bytes = 0
        self._whole = True

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self._bytes += len(data)
        if self._whole and self._bytes <= self._most:
            try:
                write_all(self._descriptor, data)
            except OSError:
                self._give_up()
        elif self._whole:
            self._give_up()

    def _give_up(self) -> None:
        self._whole = False
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)

    def keep(self, sha256: str) -> None:
        """Keep what was written, as the stream of a file of this checksum."""
        if self._whole:
            with suppress(OSError):  # somebody else may have kept the same
                self._kept.add(self._descriptor, f"{self._key}-{sha256}-{self._bytes}.gz")

    def close(self) -> None:
        descriptors.close(self._descriptor)


def _boot() -> str:
    """Return the name of the time since the machine was started, empty if nobody knows."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
