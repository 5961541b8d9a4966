"""The bytes of an archive in their order, read from a file or a pipe, and decompressed."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import zstandard

from endoscope.errors import EndoscopeError
from endoscope_profiles.compression import Compression, Member, recognise

STDIN = Path("-")

_READ_BYTES = 256 * 1024
_AGAIN = "Fetch the archive again."


class DamageError(EndoscopeError):
    """An archive cannot be read on; `code` says why, in one word for a program."""

    code = "damaged"

    def __init__(self, message: str, *, remedy: str = _AGAIN, code: str | None = None) -> None:
        super().__init__(message, remedy=remedy, code=code)


class CutOffError(DamageError):
    """An archive ends before its end."""

    code = "cut_off"


class ByteStream:
    """Bytes that are read once, from the first to the last.

    `beginning` are the first bytes of the file itself, as they are before decompression.
    Memory is bounded, whatever the file decompresses to: see `endoscope_profiles.compression`.
    """

    def __init__(
        self, file: BinaryIO, progress: Callable[[int], None] = lambda _done: None
    ) -> None:
        pieces = _pieces(file, progress)
        first = next(pieces, b"")
        self.beginning = first[:16]
        self._content = _decompressed(first, pieces)
        self._ahead = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes; fewer only at the end. Raises `DamageError`."""
        parts = []
        while size:
            if not self._ahead:
                self._ahead = memoryview(next(self._content, b""))
            if not self._ahead:
                break
            parts.append(self._ahead[:size])
            size -= len(parts[-1])
            self._ahead = self._ahead[len(parts[-1]) :]
        return b"".join(parts)


@contextmanager
def opened(
    path: Path, progress: Callable[[int], None] = lambda _done: None
) -> Iterator[ByteStream]:
    """Open the archive at `path`, `-` for standard input, as a stream of its bytes.

    `progress` is told how many bytes of the file are read. Raises `EndoscopeError` if it cannot
    be read, `DamageError` once what is in it cannot.
    """
    try:
        with _file(path) as file:
            yield ByteStream(file, progress)
    except OSError as error:
        raise EndoscopeError(
            f"{path}: cannot be read: {error.strerror}",
            remedy="Name another file.",
            code="unreadable",
        ) from error


@contextmanager
def _file(path: Path) -> Iterator[BinaryIO]:
    if path == STDIN:
        yield sys.stdin.buffer
    else:
        with path.open("rb") as file:
            yield file


def _pieces(file: BinaryIO, progress: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    while piece := file.read(_READ_BYTES):
        done += len(piece)
        progress(done)
        yield piece


def _decompressed(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    compression = recognise(first)
    pieces = chain([first], others)
    content = pieces if compression is None else _members(compression, pieces)
    return (piece for piece in content if piece)


def _members(compression: Compression, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what is in all gzip members or zstd frames of a file; nothing else may be there."""
    member: Member | None = None
    for feed in _feeds(pieces, compression.feed_bytes):
        rest = feed
        while rest:
            member = member or compression.member()
            yield _fed(compression.name, member, rest)
            rest = member.unused_data
            member = None if member.eof else member
    if member:
        raise CutOffError(f"the {compression.name} stream ends before its end")


def _fed(name: str, member: Member, data: bytes) -> bytes:
    try:
        return member.decompress(data)
    except (zlib.error, zstandard.ZstdError) as error:
        raise DamageError(
            f"the {name} stream is damaged, or something else follows it: {error}"
        ) from error


def _feeds(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]
