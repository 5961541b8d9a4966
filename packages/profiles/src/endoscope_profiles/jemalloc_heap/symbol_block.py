"""What stands in front of a heap profile: the names of its addresses, and facts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from endoscope_profiles import limits
from endoscope_profiles.jemalloc_heap.lines import Lines
from endoscope_profiles.model import Frame

BUILD_ID = "build_id"
COARSEST = "coarsest_interval_bytes"

# Every pattern is tried at one place only, and none repeats a group without a limit, which
# would take time or memory beyond measure on a hostile dump.
_BEGIN = re.compile(rb"--- *symbol *\n")
_LINE = re.compile(
    rb"0x(?P<address>[0-9a-f]{1,16}) (?P<name>[^\n]*)\n"
    rb"|# (?P<key>[^:\n]*): ?(?P<value>[^\n]*)\n"
    rb"|binary=(?P<binary>[^\n]*)\n"
)
_END = re.compile(rb"---[^\n]*\n(?:--- *heap *\n)?")
_PLACE = re.compile(rb"(.*?)(?::(\d{1,10}))?\)", re.DOTALL)
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
_NUMBER = re.compile(rb"\d{1,20}")  # all that 64 bits hold
_BUILD_ID = re.compile(rb"((?:[0-9a-f]{2}){1,64}) ([^\n]+)")


@dataclass(slots=True)
class SymbolBlock:
    """The names of addresses, the facts, the executable, and the build ids of libraries."""

    frames: dict[int, Frame] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    binary: str = ""
    build_ids: dict[str, str] = field(default_factory=dict)

    @property
    def coarsest_interval(self) -> int:
        """Return the coarsest interval that samples were taken at, in bytes; 0 if not told."""
        return int(self.facts.get(COARSEST, 0))


def read(lines: Lines, names: Names) -> SymbolBlock:
    """Return the symbol block, empty if there is none. Raises `ProfileError`."""
    block = SymbolBlock()
    if lines.take(_BEGIN):
        _read_lines(lines, block, names)
        lines.expect(_END, "'0xADDRESS name', '# key: value', 'binary=path' or '---'")
    return block


def facts_in(beginning: bytes) -> dict[str, str]:
    """Return the facts in a dump's first bytes, those that are whole; none if it has no names.

    They stand before the names, in some hundred bytes and the path of the executable.
    """
    facts: dict[str, str] = {}
    begin = _BEGIN.match(beginning)
    line = begin and _LINE.match(beginning, begin.end())
    while line and line.lastgroup != "name":
        if line.lastgroup == "value" and line["key"] != BUILD_ID.encode():
            facts[_decoded(line["key"])] = _decoded(line["value"])
        line = _LINE.match(beginning, line.end())
    return facts


def _read_lines(lines: Lines, block: SymbolBlock, names: Names) -> None:
    while line := lines.take(_LINE):
        if lines.line - 1 > limits.SYMBOL_LINES:
            raise lines.error_in_last(f"at most {limits.SYMBOL_LINES:,} lines of names")
        if lines.offset > limits.SYMBOL_BYTES:
            raise lines.error_in_last(f"at most {limits.SYMBOL_BYTES:,} bytes of names")
        if line.lastgroup == "name":
            block.frames[int(line["address"], 16)] = names[line["name"]]
        elif line.lastgroup == "value":
            _read_fact(line["key"], line["value"], block, lines)
        else:
            block.binary = _decoded(line["binary"])


def _read_fact(encoded_key: bytes, value: bytes, block: SymbolBlock, lines: Lines) -> None:
    if encoded_key == BUILD_ID.encode():  # a fact of that name is written with an escape
        if not (found := _BUILD_ID.fullmatch(value)):
            raise lines.error_in_last("a build id in hexadecimal and a path")
        block.build_ids[_decoded(found[2])] = found[1].decode()
        return
    key = _decoded(encoded_key)
    if key == COARSEST and not _NUMBER.fullmatch(value):
        raise lines.error_in_last(f"a number of bytes as {COARSEST}")
    block.facts[key] = _decoded(value)


def _decoded(encoded: bytes) -> str:
    raw = _ESCAPED.sub(lambda escaped: bytes.fromhex(escaped[1].decode()), encoded)
    return raw.decode("utf-8", "replace")


class _Texts(dict[bytes, str]):
    """Encoded text to text. Each is decoded once and kept once."""

    def __missing__(self, encoded: bytes) -> str:
        text = self[encoded] = _decoded(encoded)
        return text


class Names(dict[bytes, Frame]):
    """`function (file:line)`, `function (file)` or `function` to a frame, each kept once.

    Dumps of one program have most of them in common: read with the same `Names`, they are read
    in three quarters of the time, and share their frames.
    """

    def __init__(self) -> None:
        super().__init__()
        self._texts = _Texts()

    def __missing__(self, name: bytes) -> Frame:
        function, _, rest = name.partition(b" (")
        if place := _PLACE.fullmatch(rest):
            frame = Frame(self._texts[function], self._texts[place[1]], int(place[2] or 0))
        else:
            frame = Frame(self._texts[name])
        self[name] = frame
        return frame
