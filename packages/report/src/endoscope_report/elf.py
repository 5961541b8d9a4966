"""What the headers of an ELF file say: its build, where its parts are loaded, how much it tells.

Only headers, notes and section names are read, in Python and within bounds: the file may be
hostile. Names and lines are the symbol worker's. Layouts are those of elf(5).
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

_LOADED, _NOTES, _EXECUTABLE = 1, 4, 1  # PT_LOAD, PT_NOTE, PF_X
_SYMBOL_TABLE, _NOTE_SECTION, _WITHOUT_CONTENT = 2, 7, 8  # SHT_SYMTAB, SHT_NOTE, SHT_NOBITS
_BUILD_ID, _GNU = 3, b"GNU\0"  # NT_GNU_BUILD_ID
_LINES = (b".debug_info\0", b".zdebug_info\0")
_PAGE_BYTES = 4096
# Limits that no honest file reaches.
_BUILD_ID_MOST = 64  # bytes; linkers write 8 to 32
_NOTES_MOST = 32
_NOTE_BYTES = 2**16
_NAMES_BYTES = 2**20
_TABLE_BYTES = 8 * 2**20
_FILE_BYTES = 2**33  # /proc/kcore is an ELF file of 128 TB


class ElfError(ValueError):
    """This is no ELF file, or one with damaged headers."""


class Segment(NamedTuple):
    """A part of the file that is loaded: `size` bytes, which become `memory_size` in memory."""

    offset: int
    address: int
    size: int
    memory_size: int
    is_code: bool


class SymbolTable(NamedTuple):
    """Where the names of all functions are, if the file has not been stripped of them.

    `offset` and `size` are those of the table, in bytes, `names_offset` and `names_size` of the
    names. `entry` is how one of its entries is laid out, for `struct`; its first field is where
    among the names the name begins, and field `size_at` how many bytes the function has.
    """

    offset: int
    size: int
    names_offset: int
    names_size: int
    entry: str
    size_at: int


@dataclass(frozen=True, slots=True)
class Elf:
    """What the headers say. `build_id` is hexadecimal, empty if the file has none.

    `segments` are in the order of their addresses. `has_lines` says whether the file has
    debug information, `symbols` where the names of all its functions are; a stripped one has
    neither, and tells what it exports.
    """

    build_id: str
    segments: tuple[Segment, ...]
    has_lines: bool
    symbols: SymbolTable | None

    @property
    def is_stripped(self) -> bool:
        """Whether it only tells what it exports."""
        return not self.has_lines and self.symbols is None

    @property
    def has_code(self) -> bool:
        """Whether the code itself is in it; a file of debug information has only its outline."""
        code = [segment for segment in self.segments if segment.is_code]
        return any(0 < segment.size == segment.memory_size for segment in code)

    def relative(self, offset: int) -> int | None:
        """Return where what stands at `offset` is loaded, from the first segment's address on.

        That is the same in a file of debug information, whatever address either was linked
        for. None if nothing is loaded from there.
        """
        within = [part for part in self.segments if 0 <= offset - part.offset < part.size]
        if not within:
            return None
        segment = max(within, key=lambda part: part.is_code)
        return offset - segment.offset + segment.address - self.segments[0].address

    def relative_in_code(self, distance: int) -> int | None:
        """Return the same as `relative` for what lies `distance` bytes into the mapped code.

        For a file of debug information, in which offsets say nothing. None if the code is in
        several segments. Mappings begin at whole pages.
        """
        code = [segment for segment in self.segments if segment.is_code]
        if len(code) != 1:
            return None
        return distance + (code[0].address & -_PAGE_BYTES) - self.segments[0].address


def read(path: Path) -> Elf:
    """Read the headers of the file at `path`.

    Raises `ElfError`, also for what is not a regular file or has over 8 GiB, and `OSError`.
    """
    # Neither a FIFO nor a device may hold us up.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _FILE_BYTES:
            raise ElfError("not a regular file, or larger than any binary")
        try:
            return _Headers(file).elf()
        except (struct.error, OSError) as error:
            raise ElfError("the headers are damaged") from error


@dataclass(frozen=True, slots=True)
class _Layout:
    """How headers are laid out, and where in them stands what."""

    header: str
    segment: str
    section: str
    symbol: str
    in_segment: tuple[int, ...]  # of type, flags, offset, address, size, size in memory
    in_symbol: int  # of the size


_LAYOUTS = {
    1: _Layout("HHIIIIIHHHHHH", "IIIIIIII", "IIIIIIIIII", "IIIBBH", (0, 6, 1, 2, 4, 5), 2),
    2: _Layout("HHIQQQIHHHHHH", "IIQQQQQQ", "IIQQQQIIQQ", "IBBHQQ", (0, 1, 2, 3, 5, 6), 5),
}
_ORDERS = {1: "<", 2: ">"}


class _Table(NamedTuple):
    """Where headers are, how long each is, and how many there are."""

    offset: int
    entry_bytes: int
    number: int


class _Section(NamedTuple):
    name: int
    kind: int
    offset: int
    size: int
    link: int


class _Headers:
    """Reads one file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        identity = file.read(16)
        layout = _LAYOUTS.get(identity[4]) if len(identity) == 16 else None
        if layout is None or identity[:4] != b"\x7fELF" or identity[5] not in _ORDERS:
            raise ElfError("not an ELF file")
        self._layout, self._order = layout, _ORDERS[identity[5]]
        header = struct.Struct(self._order + layout.header)
        fields = header.unpack(file.read(header.size))
        self._segments = _Table(fields[4], fields[8], fields[9])
        self._sections = _Table(fields[5], fields[10], fields[11])
        self._names_section = fields[12]

    def elf(self) -> Elf:
        headers = list(self._program_headers())
        sections = list(self._section_headers())
        parts = [
            Segment(offset, address, size, memory_size, bool(flags & _EXECUTABLE))
            for kind, flags, offset, address, size, memory_size in headers
            if kind == _LOADED
        ]
        notes = [(offset, size) for kind, _, offset, _, size, _ in headers if kind == _NOTES]
        notes += [(each.offset, each.size) for each in sections if each.kind == _NOTE_SECTION]
        build_ids = filter(None, (self._build_id(*note) for note in notes[:_NOTES_MOST]))
        return Elf(
            next(build_ids, ""),
            tuple(sorted(parts, key=lambda part: part.address)),
            self._has_lines(sections),
            self._symbols(sections),
        )

    def _read(self, offset: int, size: int, most: int) -> bytes:
        if size > most or offset >= 2**63:
            raise ElfError("a header claims what no file has")
        self._file.seek(offset)
        return self._file.read(size)

    def _entries(self, table: _Table, form: str) -> Iterator[tuple[int, ...]]:
        entry = struct.Struct(self._order + form)
        if table.number and table.entry_bytes < entry.size:
            raise ElfError("a header claims to be shorter than one is")
        content = self._read(table.offset, table.entry_bytes * table.number, _TABLE_BYTES)
        starts = range(0, table.entry_bytes * table.number, table.entry_bytes or 1)
        return (entry.unpack_from(content, start) for start in starts)

    def _program_headers(self) -> Iterator[tuple[int, ...]]:
        for entry in self._entries(self._segments, self._layout.segment):
            yield tuple(entry[at] for at in self._layout.in_segment)

    def _section_headers(self) -> Iterator[_Section]:
        for entry in self._entries(self._sections, self._layout.section):
            yield _Section(entry[0], entry[1], *entry[4:7])

    def _has_lines(self, sections: Sequence[_Section]) -> bool:
        if self._names_section >= len(sections):
            return False
        table = sections[self._names_section]
        names = self._read(table.offset, min(table.size, _NAMES_BYTES), _NAMES_BYTES)
        present = (each for each in sections if each.kind != _WITHOUT_CONTENT)
        return any(names.startswith(_LINES, each.name) for each in present)

    def _symbols(self, sections: Sequence[_Section]) -> SymbolTable | None:
        table = next((each for each in sections if each.kind == _SYMBOL_TABLE), None)
        if table is None or table.link >= len(sections):
            return None
        names, layout = sections[table.link], self._layout
        form = self._order + layout.symbol
        return SymbolTable(
            table.offset, table.size, names.offset, names.size, form, layout.in_symbol
        )

    def _build_id(self, offset: int, size: int) -> str:
        notes, at = self._read(offset, min(size, _NOTE_BYTES), _NOTE_BYTES), 0
        while at + 12 <= len(notes):
            name, content, kind = struct.unpack_from(self._order + "III", notes, at)
            start = at + 12 + _padded(name)
            is_build_id = kind == _BUILD_ID and notes[at + 12 : at + 12 + name] == _GNU
            if is_build_id and content <= _BUILD_ID_MOST:
                return notes[start : start + content].hex()
            at = start + _padded(content)
        return ""


def _padded(size: int) -> int:
    # By 4 also where notes are aligned to 8: those are others, and stand by themselves.
    return (size + 3) & ~3
