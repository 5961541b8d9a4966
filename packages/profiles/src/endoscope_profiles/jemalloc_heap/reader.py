"""Reads a heap profile as jemalloc writes it, with or without names in front."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from endoscope_profiles import limits
from endoscope_profiles.jemalloc_heap import mapped_files, symbol_block
from endoscope_profiles.jemalloc_heap.addresses import Stacks
from endoscope_profiles.jemalloc_heap.lines import Lines
from endoscope_profiles.jemalloc_heap.mapped_files import MappedFile
from endoscope_profiles.jemalloc_heap.records import Records
from endoscope_profiles.jemalloc_heap.sampling import Sampling
from endoscope_profiles.jemalloc_heap.symbol_block import Names
from endoscope_profiles.jemalloc_heap.threads import Threads
from endoscope_profiles.model import Frame, Profile, merge
from endoscope_profiles.source import Source

_INTERVAL = re.compile(rb"heap_v2/(\d{1,20})\n")
_BLANK = re.compile(rb"\n")
_END = re.compile(rb"MAPPED_LIBRARIES:[^\n]*\n?")

NativeNames = Mapping[int, tuple[Frame, ...]]


def parse(
    source: Source,
    *,
    threads: bool = False,
    native_names: NativeNames | None = None,
    names: Names | None = None,
) -> Profile:
    """Return the profile that a dump holds, its numbers unsampled. Raises `ProfileError`.

    `source` is bytes, a map of the file (`mmap`), a binary file or an iterable of pieces of
    bytes. It is read piece by piece: memory is that of the different stacks; a dump of 38 MB
    and 50,000 stacks takes about a second.

    Addresses without a name become frames whose function is the address. Stacks that hold
    nothing any more are left out. With `threads`, each thread's part of a stack is a sample of
    its own, whose outermost frame is a marker such as `[thread 3 worker]`. `native_names` gives
    the frames of native code, innermost first, several where calls were inlined, by the
    addresses that `native_addresses` returned; they come before the names in the dump. `names`
    are those of dumps that were read before, where several are of one program.
    """
    names = Names() if names is None else names
    dump = _Dump(source, Threads() if threads else None, native_names or {}, names)
    samples = merge(dump.records.samples())
    dump.expect_end()
    dump.lines.finish()
    block = dump.symbols
    return Profile(samples, dump.interval, block.facts, block.binary, block.build_ids)


class NativeAddresses(NamedTuple):
    """What it takes to name native code: where it was called, and in which file that lies.

    `addresses` are those of the calls, in order: one below where each goes on. `build_ids` has
    those of the files (hexadecimal), by path, as far as they were recorded.
    """

    addresses: tuple[int, ...]
    mapped: tuple[MappedFile, ...]
    build_ids: Mapping[str, str]


def native_addresses(source: Source) -> NativeAddresses:
    """Return the addresses of native code in a dump's stacks. Raises `ProfileError`.

    For a first pass over a dump; what they are called goes to `parse` as `native_names`.
    """
    dump = _Dump(source, None, {}, Names())
    for _ in dump.records.samples():
        pass
    dump.expect_end()
    mapped = tuple(mapped_files.read(dump.lines))
    dump.lines.finish()
    return NativeAddresses(dump.stacks.native_calls(), mapped, dump.symbols.build_ids)


class _Dump:
    """A dump that has been read as far as its first row."""

    def __init__(
        self, source: Source, threads: Threads | None, native_names: NativeNames, names: Names
    ) -> None:
        self.lines = Lines(source)
        self.symbols = symbol_block.read(self.lines, names)
        interval = self.lines.expect(_INTERVAL, "'heap_v2/' and the sample interval")
        self.interval = int(interval[1])
        if self.interval > limits.AMOUNT:
            raise self.lines.error_in_last(f"a sample interval of at most {limits.AMOUNT:,} bytes")
        self.stacks = Stacks(self.symbols.frames, native_names)
        sampling = Sampling(self.interval, self.symbols.coarsest_interval)
        self.records = Records(self.lines, self.stacks, sampling, threads)

    def expect_end(self) -> None:
        while self.lines.take(_BLANK):
            pass
        self.lines.expect(
            _END, "'@' and addresses, 'thread: objects: bytes [...]' or MAPPED_LIBRARIES:"
        )
