"""jemalloc's heap profiles, with the names of their addresses in front: `parse` and `write`.

    --- symbol
    binary=/usr/bin/python3.11
    # service: router
    0x6a0000000000000f Handler.get (/srv/app/service.py:41)
    0x6a00000000000010 Handler.get (/srv/app/service.py:41)
    ---
    --- heap
    heap_v2/524288
      t*: 3: 1048 [0: 0]
    @ 0x6a00000000000010 0x7f0012345678
      t*: 3: 1048 [0: 0]

    MAPPED_LIBRARIES:
    7f0012300000-7f0012400000 r-xp 00000000 08:01 123  /lib/x86_64-linux-gnu/libz.so.1

What begins with `heap_v2/` is jemalloc's (`prof_dump_impl` in src/prof_data.c, 5.3.0): the
sample interval in bytes; the totals; and per record a stack, innermost first, and rows of
`thread: objects: bytes [allocated objects: allocated bytes]`, where thread `*` is all of
them. The part in front is optional. `jeprof` understands it (`ReadSymbols`), and skips the
lines that begin with `#`.

Names are UTF-8 in which `%`, control characters, every `-` after a `-` (where jeprof splits
a name) and, in a function, `(` are written as `%` and two hexadecimal digits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from endoscope_profiles.model import Frame, Profile, Sample, merge

if TYPE_CHECKING:
    from mmap import mmap

    Dump = bytes | bytearray | memoryview | mmap

CHUNK_BYTES = 128 * 1024
"""What `write` yields has about this many bytes."""

NO_STACK = Frame("[no stack]")
"""Stands for a stack without any frame, which jemalloc writes if it could not unwind."""

# Python frames have addresses that no process can map. They are names, not return
# addresses, and 16 apart, so that jeprof may look callers up one below.
_PYTHON_RANGE = 0x6A  # the highest of the eight bytes
_STEP = 16

_COARSEST = "coarsest_interval_bytes"

# Every pattern is tried at one offset only, and none repeats a group without a limit, which
# would take time or memory beyond measure on a hostile dump. 20 digits hold all that 64 bits do.
_SYMBOL_BLOCK = re.compile(rb"--- *symbol *\n")
_SYMBOL_LINE = re.compile(
    rb"0x(?P<address>[0-9a-f]{1,16}) (?P<name>[^\n]*)\n"
    rb"|# (?P<key>[^:\n]*): ?(?P<value>[^\n]*)\n"
    rb"|binary=(?P<binary>[^\n]*)\n"
)
_SYMBOLS_END = re.compile(rb"---[^\n]*\n(?:--- *heap *\n)?")
_INTERVAL = re.compile(rb"heap_v2/(\d{1,20})\n")
_ROW = re.compile(
    rb"[ \t]*t(\*|\d{1,20}): +(\d{1,20}): +(\d{1,20}) +\[ *\d{1,20}: +\d{1,20}\](?: [^\n]*)?\n"
)
_STACK = re.compile(rb"@([ x0-9a-f]*)\n")
_END = re.compile(rb"\n*MAPPED_LIBRARIES:")
_END_LINE = re.compile(rb"\nMAPPED_LIBRARIES:")

_ADDRESS = re.compile(rb"0x[0-9a-f]{1,16}")
_NUMBER = re.compile(rb"\d{1,20}")
_PLACE = re.compile(rb"(.*?)(?::(\d{1,10}))?\)", re.DOTALL)
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


class ProfileError(ValueError):
    """This is no heap profile, or a damaged one.

    `expected` is what should have been at `offset`, in bytes from the beginning. `cut_off`
    says that the end of the dump is missing, as when the disk was full or a download broke;
    a dump that is whole but cannot be read is malformed.
    """

    def __init__(self, expected: str, offset: int, cut_off: bool) -> None:
        super().__init__(expected, offset, cut_off)
        self.expected = expected
        self.offset = offset
        self.cut_off = cut_off

    def __str__(self) -> str:
        cut_off = "; without a line 'MAPPED_LIBRARIES:' the dump is cut off" if self.cut_off else ""
        return f"expected {self.expected} at byte {self.offset}{cut_off}"


# --- reading ----------------------------------------------------------------------------------


def parse(dump: Dump) -> Profile:
    """Return the profile that a dump holds, its numbers unsampled. Raises `ProfileError`.

    Addresses without a name become frames whose function is the address. Stacks that hold
    nothing any more are left out. A map of the file (`mmap`) will do, and costs no copy; a
    dump of 38 MB and 50,000 stacks takes about a second.
    """
    reader = _Reader(dump)
    symbols = _Symbols()
    if reader.take(_SYMBOL_BLOCK):
        _read_symbols(reader, symbols)
    interval = int(reader.expect(_INTERVAL, "'heap_v2/' and the sample interval")[1])
    sampling = _Sampling(interval, int(symbols.facts.get(_COARSEST, 0)))
    samples = merge(_samples(reader, _Stacks(symbols.frames), sampling))
    return Profile(samples, interval, symbols.facts, symbols.binary)


class _Reader:
    """A dump, and how far it has been read."""

    def __init__(self, dump: Dump) -> None:
        self._dump = dump
        self.offset = 0

    def take(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Step over what matches here, if anything does."""
        found = pattern.match(self._dump, self.offset)
        if found:
            self.offset = found.end()
        return found

    def expect(self, pattern: re.Pattern[bytes], expected: str) -> re.Match[bytes]:
        found = self.take(pattern)
        if found is None:
            raise self.error(expected, self.offset)
        return found

    def error(self, expected: str, offset: int) -> ProfileError:
        end = _END_LINE.search(self._dump, max(offset - 1, 0))
        return ProfileError(expected, offset, end is None)


class _Texts(dict[bytes, str]):
    """Encoded text to text. Each is decoded once and kept once."""

    def __missing__(self, encoded: bytes) -> str:
        raw = _ESCAPED.sub(lambda escaped: bytes.fromhex(escaped[1].decode()), encoded)
        text = self[encoded] = raw.decode("utf-8", "replace")
        return text


class _Names(dict[bytes, Frame]):
    """`function (file:line)`, `function (file)` or `function` to a frame, each kept once."""

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


@dataclass(slots=True)
class _Symbols:
    """What stands in front of the heap profile."""

    frames: dict[int, Frame] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    binary: str = ""


def _read_symbols(reader: _Reader, symbols: _Symbols) -> None:
    names, texts = _Names(), _Texts()
    while line := reader.take(_SYMBOL_LINE):
        match line.lastgroup:
            case "name":
                symbols.frames[int(line["address"], 16)] = names[line["name"]]
            case "value":
                key, value = texts[line["key"]], line["value"]
                if key == _COARSEST and not _NUMBER.fullmatch(value):
                    raise reader.error(f"a number of bytes as {_COARSEST}", line.start("value"))
                symbols.facts[key] = texts[value]
            case _:
                symbols.binary = texts[line["binary"]]
    reader.expect(_SYMBOLS_END, "'0xADDRESS name', '# key: value', 'binary=path' or '---'")


class _Addresses(dict[bytes, Frame]):
    """Addresses, as they stand in the dump, to frames. Each is looked up once.

    What jemalloc records is where a call returns to, which can be another function's first
    instruction; `offsets` says where the calling one is looked for, in this order.
    """

    def __init__(self, frames: Mapping[int, Frame], offsets: tuple[int, ...]) -> None:
        super().__init__()
        self._frames = frames
        self._offsets = offsets

    def __missing__(self, text: bytes) -> Frame:
        if not _ADDRESS.fullmatch(text):
            raise ValueError("not an address")
        address = int(text, 16)
        is_python = address >> 56 == _PYTHON_RANGE
        keys = [address] if is_python else [address + offset for offset in self._offsets]
        named = (self._frames[key] for key in keys if key in self._frames)
        frame = self[text] = next(named, Frame(f"{address:#x}"))
        return frame


class _Stacks:
    """Turns lines of addresses into stacks of frames."""

    def __init__(self, frames: Mapping[int, Frame]) -> None:
        self._leaves = _Addresses(frames, (0, -1))
        self._callers = _Addresses(frames, (-1, 0))

    def stack(self, addresses: bytes) -> tuple[Frame, ...]:
        """Raise `ValueError` if there is anything else than addresses."""
        words = addresses.split()
        if not words:
            return (NO_STACK,)
        return (self._leaves[words[0]], *map(self._callers.__getitem__, words[1:]))


@dataclass(frozen=True, slots=True)
class _Sampling:
    """How blocks came to be in the dump, and so what a record stands for.

    A block of `s` bytes is sampled with probability `p = 1 - exp(-s / interval)`, as every
    byte is with the same small one; a record stands for `1 / p` times what is in it
    (`AdjustSamples` in jeprof, whose order of operations this keeps, for the last digit's
    sake). Of `C` blocks `n` are sampled with variance `C p (1 - p)`, thus the estimate `n / p`
    has the variance `C (1 - p) / p`, and that of the bytes is `s**2` times as much. For these
    `p` is that of the `coarsest` interval in use, if it is more than `interval`: the recorded
    counts were then scaled so that `interval` fits all of them.
    """

    interval: int
    coarsest: int

    def sample(self, stack: tuple[Frame, ...], objects: int, size: int) -> Sample:
        """Raise `ZeroDivisionError` if `size` bytes are so few that they stand for anything."""
        if self.interval <= 1 or objects == 0:
            return Sample(stack, float(objects), float(size))
        block = size / objects
        scale = 1 / (1 - math.exp(-(block / self.interval)))
        estimate = objects * scale
        exponent = -block / max(self.interval, self.coarsest)
        variance = estimate * math.exp(exponent) / -math.expm1(exponent)
        return Sample(stack, estimate, size * scale, variance, variance * block * block)


def _samples(reader: _Reader, stacks: _Stacks, sampling: _Sampling) -> Iterator[Sample]:
    """Yield the records, each unsampled on its own: it is about blocks of about one size."""
    while reader.take(_ROW):
        pass  # the totals say nothing that the records do not
    while line := reader.take(_STACK):
        objects, size = _counts(reader)
        try:
            sample = sampling.sample(stacks.stack(line[1]), objects, size)
        except ZeroDivisionError:
            raise reader.error("more bytes for so many objects", line.end()) from None
        except ValueError:
            raise reader.error("addresses as in '@ 0x7f1e 0x7f2a'", line.start(1)) from None
        if objects or size:
            yield sample
    reader.expect(_END, "'@' and addresses, 'thread: objects: bytes [...]' or MAPPED_LIBRARIES:")


def _counts(reader: _Reader) -> tuple[int, int]:
    """Return objects and bytes of all threads; from the threads' own rows if there is no other."""
    rows = [reader.expect(_ROW, "'t*: objects: bytes [objects: bytes]'")]
    while row := reader.take(_ROW):
        rows.append(row)
    chosen = [row for row in rows if row[1] == b"*"] or rows
    return sum(int(row[2]) for row in chosen), sum(int(row[3]) for row in chosen)


# --- writing ----------------------------------------------------------------------------------

# In a function's name the first `(` after a space begins the place. A file that ends like a
# line number must not pass for one.
_TO_ESCAPE = re.compile(rb"[\x00-\x1f%\x7f]|(?<=-)-")
_TO_ESCAPE_IN_FUNCTIONS = re.compile(rb"[\x00-\x1f%(\x7f]|(?<=-)-")
_TO_ESCAPE_IN_KEYS = re.compile(rb"[\x00-\x1f%:\x7f]")
_TO_ESCAPE_WITHOUT_LINE = re.compile(rb"[\x00-\x1f%\x7f]|(?<=-)-|:(?=\d+\Z)")


def write(
    records: Iterable[tuple[Sequence[Frame], int, int]],
    *,
    interval_bytes: int = 1,
    facts: Mapping[str, str] | None = None,
    binary: str = "",
) -> Iterator[bytes]:
    """Yield a dump, in chunks, that `parse` and `jeprof` read.

    A record is a stack, innermost frame first, with the number of blocks recorded there and
    their bytes in all. `interval_bytes` is how many bytes were allocated per recorded block;
    1 if all were recorded, and the numbers are then taken as they are. A stack that was sampled
    at any other has one record per size of block. Lone surrogates in names become `?`.

    The names of frames stand in front of the stacks: all records are taken before the first
    chunk is yielded, and held as the text that they become.
    """
    heap = _Heap()
    written = list(_chunks(map(heap.record, records)))
    yield from _chunks(_symbol_lines(heap.addresses, facts or {}, binary))
    yield b"heap_v2/%d\n  t*: %d: %d [0: 0]\n" % (interval_bytes, heap.objects, heap.bytes)
    yield from written
    yield b"\nMAPPED_LIBRARIES:\n"


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    batch, size = [], 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size >= CHUNK_BYTES:
            yield b"".join(batch)
            batch, size = [], 0
    if batch:
        yield b"".join(batch)


class _Given(dict[Frame, bytes]):
    """Frames to the addresses that they are given, in the order in which they are met."""

    def __missing__(self, frame: Frame) -> bytes:
        address = self[frame] = b" %#x" % ((_PYTHON_RANGE << 56) + _STEP * (len(self) + 1))
        return address


class _Heap:
    """Writes records, and remembers what the rest of the dump has to say of them."""

    def __init__(self) -> None:
        self.addresses = _Given()
        self.objects = 0
        self.bytes = 0

    def record(self, record: tuple[Sequence[Frame], int, int]) -> bytes:
        stack, objects, size = record
        self.objects += objects
        self.bytes += size
        addresses = b"".join(map(self.addresses.__getitem__, stack or (NO_STACK,)))
        return b"@%b\n  t*: %d: %d [0: 0]\n" % (addresses, objects, size)


def preface(facts: Mapping[str, str], binary: str = "") -> bytes:
    """Return the lines between `--- symbol` and the first symbol."""
    lines = [b"binary=%b\n" % _encoded(binary)] if binary else []
    for key, value in facts.items():
        lines.append(b"# %b: %b\n" % (_encoded(key, _TO_ESCAPE_IN_KEYS), _encoded(value)))
    return b"".join(lines)


def _symbol_lines(
    addresses: Mapping[Frame, bytes], facts: Mapping[str, str], binary: str
) -> Iterator[bytes]:
    yield b"--- symbol\n"
    yield preface(facts, binary)
    for frame, text in addresses.items():
        address, name = int(text, 16), _name(frame)
        yield b"%#x %b\n%#x %b\n" % (address - 1, name, address, name)
    yield b"---\n--- heap\n"


def _name(frame: Frame) -> bytes:
    function = _encoded(frame.function, _TO_ESCAPE_IN_FUNCTIONS)
    if frame.line > 0:
        return b"%b (%b:%d)" % (function, _encoded(frame.file), frame.line)
    if frame.file:
        return b"%b (%b)" % (function, _encoded(frame.file, _TO_ESCAPE_WITHOUT_LINE))
    return function


def _encoded(text: str, to_escape: re.Pattern[bytes] = _TO_ESCAPE) -> bytes:
    return to_escape.sub(lambda found: b"%%%02x" % found[0][0], text.encode("utf-8", "replace"))
