"""The bytes of a response, piece by piece: of a file, and what holds something to be freed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_FILE_CHUNK = 256 * 1024


class BrokenStreamError(Exception):
    """The source of a response failed after its first byte: break the connection off."""


def close_chunks(chunks: Iterator[bytes]) -> None:
    """Free what an iterator of chunks holds, if it is of a kind that holds something."""
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def file_chunks(file: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    """Yield `length` bytes of `file` from `start`, and close it.

    Raises `BrokenStreamError` when it has become shorter: the length was promised.
    """
    with file:
        file.seek(start)
        while length > 0:
            chunk = file.read(min(length, _FILE_CHUNK))
            if not chunk:
                raise BrokenStreamError(f"the file ended {length} bytes early")
            length -= len(chunk)
            yield chunk
