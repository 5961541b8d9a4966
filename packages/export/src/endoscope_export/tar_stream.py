"""Members to tar bytes, in constant memory.

The format is GNU's with names as raw bytes: PAX names that are not UTF-8 make GNU tar
warn, and USTAR ends at 8 GiB and 255 characters.
"""

from __future__ import annotations

import tarfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from endoscope_export.checksum import Checksum
from endoscope_export.content import read

if TYPE_CHECKING:
    from collections.abc import Generator

    from endoscope_export.checksum import Begin
    from endoscope_export.content import Content
    from endoscope_export.pieces import Data

PIECE_BYTES = 512 * 1024
"""So much is read at a time, compressed, and hashed meanwhile."""

_LARGE_BYTES = 1024 * 1024

# For content that was made for this archive, and so has no time of its own: a fixed one,
# so that the same members give the same bytes. 1980-01-01, because tools of the zip family
# know nothing earlier and some versions of GNU tar warn of 1970.
FIXED_TIME = 315_532_800


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one member's content.

    `sha256` is over the bytes as sent. `seconds` is what reading took, without the time
    that the client took. `cut` says why the file's own bytes ended early and zeros were
    sent in their place; empty if they did not.
    """

    sha256: str
    seconds: float
    cut: str = ""


class TarStream:
    """Writes one tar archive as a series of pieces, through one reused buffer.

    With `begin`, large files are hashed on another thread.
    """

    def __init__(self, begin: Begin | None = None) -> None:
        self._begin = begin
        self._buffer = memoryview(bytearray(PIECE_BYTES))
        self._written = 0

    def entry(
        self, path: str, content: Content, modified: int | None = None
    ) -> Generator[Data, None, Sent]:
        """Yield a member's header, exactly `content.size` bytes, and padding.

        `modified` stands in for the time of content that has none; Unix seconds.
        """
        head = _head(path, content, modified)
        yield head
        sent = yield from self._body(content)
        tail = bytes(-content.size % tarfile.BLOCKSIZE)
        if tail:
            yield tail
        self._written += len(head) + content.size + len(tail)
        return sent

    def skip(self, path: str, content: Content) -> None:
        """Count an entry that somebody else has written, as `entry` would have done it."""
        size = len(_head(path, content)) + content.size
        self._written += size + -size % tarfile.BLOCKSIZE

    def end(self) -> Generator[Data, None, None]:
        """Yield the two zero blocks, filled up to a whole record as tar does."""
        size = self._written + 2 * tarfile.BLOCKSIZE
        yield bytes(2 * tarfile.BLOCKSIZE + -size % tarfile.RECORDSIZE)

    def _body(self, content: Content) -> Generator[Data, None, Sent]:
        checksum = Checksum(self._begin if content.size >= _LARGE_BYTES else None)
        offset, seconds, cut = 0, 0.0, ""
        while offset < content.size:
            started = time.monotonic()
            room = self._buffer[: content.size - offset]
            filled, cut = _fill(room, content, offset, cut)
            piece = room[:filled]
            checksum.add(piece)
            offset += filled
            seconds += time.monotonic() - started
            yield piece
            checksum.settle()
        return Sent(checksum.hexadecimal(), seconds, cut)


def _head(path: str, content: Content, modified: int | None = None) -> bytes:
    times = (content.modified, modified, FIXED_TIME)
    return header(path, content.size, next(t for t in times if t is not None))


def header(path: str, size: int, modified: int) -> bytes:
    """Return the header blocks of a regular file: mode 0644, nobody's, times from 1970 on."""
    member = tarfile.TarInfo(path)
    member.size = size
    member.mtime = max(0, modified)
    member.mode = 0o644
    return member.tobuf(tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape")


def _fill(room: memoryview, content: Content, offset: int, cut: str) -> tuple[int, str]:
    """Fill `room` from the content, or with zeros once the content was cut short."""
    if not cut:
        filled, cut = read(content, room, offset)
        if filled:
            return filled, ""
    room[:] = bytes(len(room))
    return len(room), cut
