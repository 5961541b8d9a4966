"""Tar bytes to compressed chunks, behind one small protocol."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import zstandard
from isal import isal_zlib

from endoscope_export.formats import GZIP, ZSTD
from endoscope_export.pieces import Compressed, Cut, Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from endoscope_export.pieces import Data, Piece, Pieces

CHUNK_BYTES = 256 * 1024
"""A chunk is let out once it has this many bytes."""

FED_BYTES = 8 * 1024 * 1024
"""A chunk is let out, however small, after this many bytes of input: a caller who wants to
stop gets the chance even in the middle of ten gigabytes of zeros."""


class Compressor(Protocol):
    """Turns bytes into fewer bytes. Holds no more than its window in memory."""

    def compress(self, data: Data) -> bytes:
        """Take `data`; return what is ready, often nothing."""

    def flush(self) -> bytes:
        """Return the rest of what was taken so far, so that a reader can decode all of it."""

    def finish(self) -> bytes:
        """Return the end of the stream. What is taken after it begins another one."""


class Gzip:
    """gzip by igzip: some seven times as fast as zlib at the same ratio, GIL released.

    The header's time is 0 and its name empty, so that the same input gives the same bytes.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        gzip_container = 16 + isal_zlib.MAX_WBITS
        self._stream = isal_zlib.compressobj(1, isal_zlib.DEFLATED, gzip_container)

    def compress(self, data: Data) -> bytes:
        return self._stream.compress(data)

    def flush(self) -> bytes:
        return self._stream.flush(isal_zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        end = self._stream.flush(isal_zlib.Z_FINISH)
        self._begin()
        return end


class Zstd:
    """zstd at its fastest ordinary level, GIL released, with a checksum at the end."""

    def __init__(self) -> None:
        self._context = zstandard.ZstdCompressor(level=1, write_checksum=True)
        self._stream = self._context.compressobj()

    def compress(self, data: Data) -> bytes:
        return self._stream.compress(data)

    def flush(self) -> bytes:
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        end = self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
        self._stream = self._context.compressobj()
        return end


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of archive: the end of its name, its media type, and what compresses it.

    `many_streams` says that every reader takes several streams after each other for one.
    """

    suffix: str
    media_type: str
    compressor: Callable[[], Compressor]
    many_streams: bool


FORMATS = {
    format_.suffix: format_
    for format_ in [
        Format(GZIP, "application/gzip", Gzip, many_streams=True),
        # Readers of zstd that stop after the first frame are in use.
        Format(ZSTD, "application/zstd", Zstd, many_streams=False),
    ]
}


def compressed(pieces: Pieces, compressor: Compressor) -> Generator[bytes, None, None]:
    """Yield `pieces` compressed, in chunks of about `CHUNK_BYTES`.

    An empty chunk is for a caller who wants to stop. Closes `pieces` when it ends or is closed
    itself.
    """
    with closing(pieces):
        batch = _Batch(compressor)
        for piece in pieces:
            if batch.add(piece):
                yield batch.take()
            elif isinstance(piece, Pause):
                yield b""
    yield batch.take_last()


class _Batch:
    """Output of the compressor that waits until it is worth sending."""

    def __init__(self, compressor: Compressor) -> None:
        self._compressor = compressor
        self._copy: Callable[[bytes], None] | None = None
        self._parts: list[bytes] = []
        self._bytes = 0
        self._fed = 0
        self._in_stream = False

    def add(self, piece: Piece) -> bool:
        """Take `piece`; return whether it is time to let a chunk out."""
        match piece:
            case Cut(copy):
                self._end_stream()
                self._copy = copy
                return True  # so that what follows is flushed in the same places each time
            case Compressed(data):
                self._append(data)
                self._fed += len(data)
            case Pause():
                return False
            case _ if not piece:
                return self._fed > 0
            case _:
                self._append(self._compressor.compress(piece))
                self._fed += len(piece)
                self._in_stream = True
        return self._bytes >= CHUNK_BYTES or self._fed >= FED_BYTES

    def take(self) -> bytes:
        """Return what is ready; if it is less than a chunk, all that was taken so far."""
        if self._bytes < CHUNK_BYTES and self._in_stream:
            self._append(self._compressor.flush())
        return self._emptied()

    def take_last(self) -> bytes:
        self._end_stream()
        return self._emptied()

    def _end_stream(self) -> None:
        if self._in_stream:
            self._append(self._compressor.finish())
            self._in_stream = False

    def _append(self, part: bytes) -> None:
        self._parts.append(part)
        self._bytes += len(part)
        if self._copy is not None:
            self._copy(part)

    def _emptied(self) -> bytes:
        chunk = b"".join(self._parts)
        self._parts.clear()
        self._bytes = self._fed = 0
        return chunk
