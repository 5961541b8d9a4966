"""The members of a tar archive, one after the other, in constant memory.

Strict where readers differ: what two programs would unpack differently is damage here, so that
what was looked at is what anybody else gets. That is also why this is not `tarfile`, which guesses,
skips what it cannot read, and takes as much memory for a name as the archive says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from endoscope_profiles.printable import printable
from endoscope_report.byte_stream import ByteStream, CutOffError, DamageError

BLOCK_BYTES = 512
RECORD_BYTES = 20 * BLOCK_BYTES
PIECE_BYTES = 256 * 1024

MOST_MEMBERS = 100_000
MOST_PATH_CHARACTERS = 16 * 1024 * 1024
"""Of all paths together. No honest archive has a tenth of these."""

_MOST_NAME_BYTES = 64 * 1024  # export writes paths of up to 4,095
_GNU, _POSIX = b"ustar  \0", b"ustar\x0000"
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_LONG_NAME = "L"
_SPARSE = "S"
_KINDS = {
    "1": "a hard link",
    "2": "a symbolic link",
    "3": "a character device",
    "4": "a block device",
    "5": "a folder",
    "6": "a FIFO",
    "g": "a header of the PAX format",
    "x": "a header of the PAX format",
}


@dataclass(frozen=True, slots=True)
class Member:
    """What a header says. `size` is in bytes; `kind` is tar's letter, `0` for a regular file.

    A byte of the path that is not UTF-8 stands there as a lone surrogate.
    """

    path: str
    size: int
    kind: str
    mode: int
    owner: tuple[int, int, str, str]

    @property
    def is_file(self) -> bool:
        return self.kind in "0\0"

    @property
    def what(self) -> str:
        """What it is, in words."""
        return "a file" if self.is_file else _KINDS.get(self.kind, f"of the kind {self.kind!r}")


class TarReader:
    """Reads an archive from its first member to its end. Every fault is a `DamageError`."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._blocks = 0
        self._members = 0
        self._characters = 0

    def __iter__(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield each member and its content in pieces, which can be taken until the next one."""
        while member := self._next():
            self._count(member)
            content = self._content(member)
            yield member, content
            for _rest in content:
                pass
            self._padding(member)

    def finish(self) -> None:
        """Read what comes after the last member: zeros up to a whole record, nothing else."""
        self._zero_block("the second of the two blocks of zeros at the end of the tar archive")
        while self._blocks * BLOCK_BYTES % RECORD_BYTES:
            self._zero_block("the zeros that fill up the last record of the tar archive")
        if self._stream.read(1):
            raise DamageError("something follows the end of the tar archive", code="trailing")

    def _count(self, member: Member) -> None:
        self._members += 1
        self._characters += len(member.path)
        if self._members > MOST_MEMBERS or self._characters > MOST_PATH_CHARACTERS:
            raise DamageError(
                f"it has more than {MOST_MEMBERS:,} members, or {MOST_PATH_CHARACTERS:,} "
                "characters of their paths",
                remedy="It is no archive of Endoscope's: do not unpack it.",
                code="too_many",
            )

    def _next(self) -> Member | None:
        """Return the next member, None at the end, with a name of any length."""
        block = self._block("a header or the end of the tar archive")
        if not any(block):
            return None
        member = self._parsed(block, None)
        if member.kind != _LONG_NAME:
            return member
        path = self._long_name(member)
        named = self._parsed(self._block(f"the header of {_shown(path)}"), path)
        if named.kind == _LONG_NAME:
            raise DamageError(f"{_shown(path)}: a second name for one member")
        return named

    def _parsed(self, block: bytes, path: str | None) -> Member:
        try:
            member = _parse(block, path)
        except ValueError as error:
            if self._blocks == 1:
                raise DamageError(
                    "it is no tar archive, neither plain nor compressed by gzip or zstd",
                    remedy="Is it the right file?",
                    code="no_archive",
                ) from error
            place = (self._blocks - 1) * BLOCK_BYTES
            raise DamageError(f"the tar header at byte {place:,} is damaged: {error}") from error
        if member.kind == _SPARSE:
            raise DamageError(
                f"{_shown(member.path)} is a sparse file: what follows cannot be read",
                remedy="Export makes none: do not unpack it.",
                code="not_regular",
            )
        return member

    def _long_name(self, member: Member) -> str:
        if member.size > _MOST_NAME_BYTES:
            raise DamageError(f"a name of {member.size:,} bytes", code="too_many")
        name = b"".join(self._content(member))
        self._padding(member)
        return _text(name.removesuffix(b"\0"))

    def _content(self, member: Member) -> Iterator[bytes]:
        left = member.size
        while left:
            piece = self._stream.read(min(left, PIECE_BYTES))
            if not piece:
                raise CutOffError(f"it ends {left:,} bytes before the end of {_shown(member.path)}")
            left -= len(piece)
            yield piece

    def _padding(self, member: Member) -> None:
        size = -member.size % BLOCK_BYTES
        padding = self._stream.read(size)
        self._blocks += (member.size + size) // BLOCK_BYTES
        if len(padding) < size:
            raise CutOffError(f"it ends right behind {_shown(member.path)}")
        if any(padding):
            raise DamageError(f"something lies hidden behind the end of {_shown(member.path)}")

    def _zero_block(self, what: str) -> None:
        if any(self._block(what)):
            raise DamageError(f"something else stands in place of {what}")

    def _block(self, what: str) -> bytes:
        block = self._stream.read(BLOCK_BYTES)
        if not block and not self._blocks:
            raise CutOffError("it is empty")
        if len(block) < BLOCK_BYTES:
            raise CutOffError(f"it ends in place of {what}")
        self._blocks += 1
        return block


def _parse(block: bytes, path: str | None) -> Member:
    """Parse a header. ValueError says what cannot be meant."""
    magic = block[257:265]
    if magic not in (_GNU, _POSIX):
        raise ValueError("it is not of the format")
    checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if block[148:156] != b"%06o\0 " % checksum:
        raise ValueError("its checksum is another")
    if path is None:
        # In the GNU format other things lie where POSIX has the beginning of a long path.
        prefix = _string(block[345:500]) if magic == _POSIX else ""
        path = f"{prefix}/{_string(block[:100])}" if prefix else _string(block[:100])
    owner = (_number(block[108:116]), _number(block[116:124]))
    return Member(
        path=path,
        size=_number(block[124:136]),
        kind=chr(block[156]),
        mode=_number(block[100:108]),
        owner=(*owner, _string(block[265:297]), _string(block[297:329])),
    )


def _number(field: bytes) -> int:
    """Read a number: octal digits, or GNU's binary ones for what these cannot hold."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise ValueError(f"{field!r} is no number")
    return int(match[1] or b"0", 8)


def _string(field: bytes) -> str:
    return _text(field.partition(b"\0")[0])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _shown(path: str) -> str:
    return printable(path) or "a file without a name"
