"""gzip and zstd files, decompressed piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import zstandard

from endoscope_profiles import limits
from endoscope_profiles.profile_error import NotExpectedError


class Member(Protocol):
    """What decompresses one gzip member or zstd frame. A file may have several."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Compression:
    """A compressed format. `begins` are the bytes that its files begin with.

    All that comes out of `feed_bytes` is decompressed at once; they are so few that not even a
    bomb makes more than 32 MB of them.
    """

    name: str
    begins: tuple[bytes, ...]
    feed_bytes: int
    member: Callable[[], Member]


def _gzip_member() -> Member:
    return zlib.decompressobj(wbits=31)  # a gzip header, and the largest window


def _zstd_member() -> Member:
    return zstandard.ZstdDecompressor().decompressobj()


# Deflate makes at most 1,032 bytes out of one. zstd makes a block of 128 KiB out of four; its
# frames that hold nothing, and may come first, have magic numbers of their own.
_GZIP = Compression("gzip", (b"\x1f\x8b",), 16 * 1024, _gzip_member)
_ZSTD = Compression(
    "zstd",
    (b"\x28\xb5\x2f\xfd", *(bytes((last, 0x2A, 0x4D, 0x18)) for last in range(0x50, 0x60))),
    1024,
    _zstd_member,
)


def recognise(beginning: bytes) -> Compression | None:
    """Return how a file that begins like this is compressed; None if it is not."""
    for compression in (_GZIP, _ZSTD):
        if beginning.startswith(compression.begins):
            return compression
    return None


def decompress(compression: Compression, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what is in a compressed file.

    Raises `NotExpectedError` if it is damaged, cut off, or holds more than it may.
    """
    size = 0
    for text in _members(compression, pieces):
        size += len(text)
        if size > limits.DECOMPRESSED_BYTES:
            raise NotExpectedError(f"at most {limits.DECOMPRESSED_BYTES:,} decompressed bytes")
        yield text


def _members(compression: Compression, pieces: Iterable[bytes]) -> Iterator[bytes]:
    member: Member | None = None
    for feed in _feeds(pieces, compression.feed_bytes):
        rest = feed if member else _without_padding(feed)
        while rest:
            member = member or compression.member()
            yield _decompressed(compression, member, rest)
            rest = _without_padding(member.unused_data)
            member = None if member.eof else member
    if member:
        raise NotExpectedError(f"the rest of the {compression.name} file", cut_off=True)


def _without_padding(between: bytes) -> bytes:
    # What is written in blocks may be filled up with zeros, which gzip passes over, too.
    return between.lstrip(b"\0")


def _decompressed(compression: Compression, member: Member, data: bytes) -> bytes:
    try:
        return member.decompress(data)
    except (zlib.error, zstandard.ZstdError):
        raise NotExpectedError(f"an undamaged {compression.name} file") from None


def _feeds(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]
