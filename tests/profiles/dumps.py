"""Dumps for tests, and what makes them."""

from __future__ import annotations

import random

from endoscope_profiles import Frame, ProfileError
from endoscope_profiles.jemalloc_heap import parse

SYMBOLS = b"""--- symbol
binary=/usr/bin/python3.11
# service: router
# python: 3.11.7
0x6a0000000000000f Handler.get (/srv/app/service.py:41)
0x6a00000000000010 Handler.get (/srv/app/service.py:41)
0x6a0000000000001f main (/srv/app/service.py:7)
0x6a00000000000020 main (/srv/app/service.py:7)
0x7f0012345678 deflateInit2_ (/lib/x86_64-linux-gnu/libz.so.1)
---
--- heap
"""
HEAP = b"""heap_v2/524288
  t*: 3: 1048 [0: 0]
  t0: 3: 1048 [0: 0] router worker
@ 0x6a00000000000010 0x6a00000000000020
  t*: 2: 1000 [0: 0]
  t0: 2: 1000 [0: 0]
@ 0x7f0012345678 0x6a00000000000020
  t*: 1: 48 [0: 0]

MAPPED_LIBRARIES:
7f0012300000-7f0012400000 r-xp 00000000 08:01 123  /lib/x86_64-linux-gnu/libz.so.1
"""
DUMP = SYMBOLS + HEAP
GET = Frame("Handler.get", "/srv/app/service.py", 41)
MAIN = Frame("main", "/srv/app/service.py", 7)
DEFLATE = Frame("deflateInit2_", "/lib/x86_64-linux-gnu/libz.so.1")


def heap(*records, interval=1):
    """Return a dump without names. A record is its addresses and its rows."""
    lines = [b"heap_v2/%d" % interval, b"  t*: 1: 1 [0: 0]"]
    for addresses, *rows in records:
        lines += [b"@" + b"".join(b" %#x" % address for address in addresses), *rows]
    return b"\n".join([*lines, b"", b"MAPPED_LIBRARIES:", b""])


def symbols(*lines):
    return b"\n".join([b"--- symbol", *lines, b"---", b"--- heap", b""])


def row(objects, size, thread=b"*"):
    return b"  t%b: %d: %d [0: 0]" % (thread, objects, size)


def only(dump):
    (sample,) = parse(dump).samples
    return sample


def read(dump):
    """Return the profile, or the error."""
    try:
        return parse(dump)
    except ProfileError as error:
        return error


def seeded(seed):
    return random.Random(seed)  # noqa: S311 - the same each time
