"""Writes a heap profile as jemalloc does, with the names of its addresses in front."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from endoscope_profiles.jemalloc_heap.addresses import NO_STACK, PYTHON_RANGE
from endoscope_profiles.jemalloc_heap.symbol_block import BUILD_ID
from endoscope_profiles.model import Frame

CHUNK_BYTES = 128 * 1024
"""What `write` yields has about this many bytes."""

_STEP = 16  # between the addresses of Python frames: jeprof looks callers up one below theirs

# In a function's name the first `(` after a space begins the place. A file that ends like a
# line number must not pass for one.
_TO_ESCAPE = re.compile(rb"[\x00-\x1f%\x7f]|(?<=-)-")
_TO_ESCAPE_IN_FUNCTIONS = re.compile(rb"[\x00-\x1f%(\x7f]|(?<=-)-")
_TO_ESCAPE_IN_KEYS = re.compile(rb"[\x00-\x1f%:\x7f]")
_TO_ESCAPE_WITHOUT_LINE = re.compile(rb"[\x00-\x1f%\x7f]|(?<=-)-|:(?=\d+\Z)")


def write(
    records: Iterable[tuple[Sequence[Frame], int, int]],
    *,
    interval_bytes: int = 0,
    facts: Mapping[str, str] | None = None,
    binary: str = "",
    build_ids: Mapping[str, str] | None = None,
) -> Iterator[bytes]:
    """Yield a dump, in chunks, that `jemalloc_heap.parse` and `jeprof` read.

    A record is a stack, innermost frame first, with the number of blocks recorded there and
    their bytes in all. `interval_bytes` is how many bytes were allocated per recorded block;
    0 if all were recorded, and the numbers are then taken as they are (with 1, `jeprof` scales
    blocks of a few bytes, and gives up at those of none). A stack that was sampled
    at any other has one record per size of block. Lone surrogates in names become `?`.

    The names of frames stand in front of the stacks: all records are taken before the first
    chunk is yielded, and held as the text that they become.
    """
    heap = _Heap()
    written = list(_chunks(map(heap.record, records)))
    yield from _chunks(_symbol_lines(heap.addresses, preface(facts or {}, binary, build_ids)))
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
    """Frames to the addresses that they are given.

    A frame has the same one in every dump, since `jeprof --base` compares addresses. It is a
    hash of the names; of two frames with one hash the later one has the next that is free.
    """

    def __init__(self) -> None:
        super().__init__()
        self._taken: set[int] = set()

    def __missing__(self, frame: Frame) -> bytes:
        digest = hashlib.blake2b(repr(frame).encode("utf-8", "surrogatepass"), digest_size=6)
        number = int.from_bytes(digest.digest(), "big")
        while number in self._taken:
            number = (number + 1) % (1 << 48)
        self._taken.add(number)
        address = self[frame] = b" %#x" % ((PYTHON_RANGE << 56) + _STEP * (number + 1))
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


def preface(
    facts: Mapping[str, str], binary: str = "", build_ids: Mapping[str, str] | None = None
) -> bytes:
    """Return the lines between `--- symbol` and the first symbol.

    `build_ids` are those of native libraries, hexadecimal, by path.
    """
    lines = [b"binary=%b\n" % _encoded(binary)] if binary else []
    for key, value in facts.items():
        lines.append(b"# %b: %b\n" % (_key(key), _encoded(value)))
    for path, build_id in (build_ids or {}).items():
        lines.append(b"# %b: %b %b\n" % (BUILD_ID.encode(), build_id.encode(), _encoded(path)))
    return b"".join(lines)


def _key(key: str) -> bytes:
    """Encode a fact's name, so that none passes for a build id."""
    if key == BUILD_ID:
        return b"%%%02x%b" % (ord(key[0]), key[1:].encode())
    return _encoded(key, _TO_ESCAPE_IN_KEYS)


def _symbol_lines(addresses: Mapping[Frame, bytes], in_front: bytes) -> Iterator[bytes]:
    yield b"--- symbol\n"
    yield in_front
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
