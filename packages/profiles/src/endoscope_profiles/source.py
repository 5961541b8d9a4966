"""Where a profile is read from: bytes, a map of a file, an open file, or pieces of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from mmap import mmap
from typing import Protocol, TypeGuard, cast


class Readable(Protocol):
    """A file that is open for reading bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


Buffer = bytes | bytearray | memoryview | mmap
Source = Buffer | Readable | Iterable[bytes]

PIECE_BYTES = 512 * 1024
"""A profile is read in pieces of at most this many bytes."""


def pieces(source: Source) -> Iterator[bytes]:
    """Yield what is in `source`, no piece empty or larger than `PIECE_BYTES`.

    Raises `TypeError` if there is anything else than bytes in it.
    """
    if _is_buffer(source):
        yield from _cut(source)
        return
    arriving = _read(source) if _is_file(source) else cast("Iterable[bytes]", source)
    for piece in arriving:
        yield from _cut(piece)


def _is_buffer(source: object) -> TypeGuard[Buffer]:
    try:
        memoryview(source).release()  # type: ignore[arg-type] # this is the question
    except TypeError:
        return False
    return True


def _is_file(source: object) -> TypeGuard[Readable]:
    return hasattr(source, "read")


def _read(file: Readable) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


def _cut(buffer: Buffer) -> Iterator[bytes]:
    start = 0
    while piece := _piece(buffer, start):
        yield piece
        start += len(piece)


def _piece(buffer: Buffer, start: int) -> bytes:
    # No view outlives this call: a map of a file with a view of it cannot be closed, and the
    # traceback of an error would keep one alive.
    with memoryview(buffer) as view, view.cast("B") as flat:
        return bytes(flat[start : start + PIECE_BYTES])
