"""jemalloc's heap profile format, as far as one must know it to judge a finished dump.

First `heap_v2/` and the sample interval in bytes, then the totals of all threads as
`t*: objects: bytes [...]`, the stacks, and at the end `MAPPED_LIBRARIES:` with the
process's memory map (jemalloc 5.3.0, `prof_dump_impl` in src/prof_data.c).
"""

from __future__ import annotations

import mmap
import os
import re
from dataclasses import dataclass

_HEAD = re.compile(rb"heap_v2/\d+\n\s*t\*: (\d+): ")


@dataclass(frozen=True, slots=True)
class HeapFile:
    """What can be seen of a dump from outside: whether it is whole, and holds any samples."""

    complete: bool
    samples: int


def inspect(descriptor: int) -> HeapFile:
    """Look at the file that is open at `descriptor`. Maps it, so that its size costs nothing."""
    if os.fstat(descriptor).st_size == 0:
        return HeapFile(complete=False, samples=0)
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        head = _HEAD.match(content)
        # Searched from the end: the memory map is the last and by far the smaller part.
        mapped = content.rfind(b"\nMAPPED_LIBRARIES:\n") >= 0
        whole = head is not None and mapped and content[-1:] == b"\n"
        return HeapFile(complete=whole, samples=int(head[1]) if head else 0)
