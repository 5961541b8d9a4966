"""Bytes that wait until they are all there: in memory while few, then in a file without a name."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from endoscope_export import descriptors
from endoscope_export.content import Blob, ContentError, OpenFile
from endoscope_export.disk import LEFT_FREE_BYTES, free_bytes, temporary_file, write_all

if TYPE_CHECKING:
    from pathlib import Path

    from endoscope_export.content import Content

IN_MEMORY_BYTES = 1024 * 1024


class Spool:
    """Takes bytes, and becomes content. `expected` is about how many there will be.

    The file lies in `directory` and never has a name, so that it is gone whatever happens.
    """

    def __init__(self, directory: Path, expected: int) -> None:
        self._directory = directory
        self._parts: list[bytes] = []
        self._descriptor: int | None = None
        self.size = 0
        if expected > IN_MEMORY_BYTES:
            self._move_to_disk(expected)

    def write(self, data: bytes) -> None:
        """Append `data`. Raises `ContentError` if the disk has no room for it."""
        self.size += len(data)
        if self._descriptor is None:
            self._parts.append(data)
            if self.size > IN_MEMORY_BYTES:
                self._move_to_disk(self.size)
        else:
            self._write_to_disk(data)

    def line_after(self, offset: int, within: int) -> int | None:
        """Return where the first line begins at or after `offset`, 1 or more; None if none does.

        Looks no further than `within` bytes.
        """
        near = self._read(offset - 1, within)
        return offset + near.index(b"\n") if b"\n" in near else None

    def content(self, start: int, modified: int | None) -> Content:
        """Return what was written from `start` on. The spool is used up by this."""
        if self._descriptor is None:
            return Blob(b"".join(self._parts)[start:], modified)
        descriptor, self._descriptor = self._descriptor, None
        return OpenFile(descriptor, self.size - start, modified, start)

    def close(self) -> None:
        """Let go of everything."""
        self._parts.clear()
        if self._descriptor is not None:
            descriptors.close(self._descriptor)
            self._descriptor = None

    def _read(self, offset: int, count: int) -> bytes:
        if self._descriptor is None:
            return b"".join(self._parts)[offset : offset + count]
        return os.pread(self._descriptor, count, offset)

    def _move_to_disk(self, expected: int) -> None:
        _require_free(self._directory, expected)
        try:
            self._descriptor = descriptors.opened(temporary_file(self._directory))
        except OSError as error:
            raise _cannot_write(error) from error
        for part in self._parts:
            self._write_to_disk(part)
        self._parts.clear()

    def _write_to_disk(self, data: bytes) -> None:
        _require_free(self._directory, len(data))
        assert self._descriptor is not None  # noqa: S101  for the type checker
        try:
            write_all(self._descriptor, data)
        except OSError as error:
            raise _cannot_write(error) from error


def _require_free(directory: Path, count: int) -> None:
    """Raise `ContentError` if `count` bytes more would leave too little of the disk free."""
    try:
        free = free_bytes(directory)
    except OSError as error:
        raise _cannot_write(error) from error
    if free < count + LEFT_FREE_BYTES:
        raise ContentError(
            "no_space",
            f"masking secrets in it takes {count} bytes of disk in the output directory, where "
            f"{free} are free, {LEFT_FREE_BYTES} of them for others",
        )


def _cannot_write(error: OSError) -> ContentError:
    code = "no_space" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "unreadable"
    reason = f"masking secrets in it takes a file in the output directory: {error.strerror}"
    return ContentError(code, reason)
