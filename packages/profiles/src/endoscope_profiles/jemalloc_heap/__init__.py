"""jemalloc's heap profiles, with the names of their addresses in front: `parse` and `write`.

    --- symbol
    binary=/usr/bin/python3.11
    # service: router
    # build_id: 8fa0c5a1 /lib/x86_64-linux-gnu/libz.so.1
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
lines that begin with `#`: facts, and the build ids of libraries that native addresses lie in.

Names are UTF-8 in which `%`, control characters, every `-` after a `-` (where jeprof splits
a name) and, in a function, `(` are written as `%` and two hexadecimal digits.
"""

from endoscope_profiles.jemalloc_heap.addresses import NO_STACK
from endoscope_profiles.jemalloc_heap.mapped_files import MappedFile
from endoscope_profiles.jemalloc_heap.reader import (
    NativeAddresses,
    NativeNames,
    native_addresses,
    parse,
)
from endoscope_profiles.jemalloc_heap.symbol_block import Names, facts_in
from endoscope_profiles.jemalloc_heap.writer import CHUNK_BYTES, preface, write

__all__ = [
    "CHUNK_BYTES",
    "NO_STACK",
    "MappedFile",
    "Names",
    "NativeAddresses",
    "NativeNames",
    "facts_in",
    "native_addresses",
    "parse",
    "preface",
    "write",
]
