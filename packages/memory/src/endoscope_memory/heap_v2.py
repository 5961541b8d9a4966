"""jemalloc's heap profile format, as far as one must know it to take a finished one apart.

First `heap_v2/` and the sample interval in bytes, then the totals of all threads as
`t*: objects: bytes [...]`, the stacks, and at the end `MAPPED_LIBRARIES:` with the
process's memory map (jemalloc 5.3.0, `prof_dump_impl` in src/prof_data.c).
"""

from __future__ import annotations

import mmap
import os
import re
from dataclasses import dataclass

_HEAD = re.compile(rb"heap_v2/\d+\n\s*t\*: (\d+): (\d+) [^\n]*\n")
_MAPPED = b"\nMAPPED_LIBRARIES:\n"


@dataclass(frozen=True, slots=True)
class HeapFile:
    """The parts of a whole profile.

    `records` and `mapped` are the offsets of what follows the totals and of the memory map,
    `size` is the file's; all in bytes. `objects` and `bytes` are the totals of the samples.
    """

    records: int
    mapped: int
    size: int
    objects: int
    bytes: int


def take_apart(descriptor: int) -> HeapFile | None:
    """Look at the file that is open at `descriptor`; None if it is not a whole profile.

    Maps it, so that its size costs nothing.
    """
    size = os.fstat(descriptor).st_size
    if size == 0:
        return None
    with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as content:
        head = _HEAD.match(content)
        # Searched from the end: the memory map is the last and by far the smaller part.
        mapped = content.rfind(_MAPPED)
        if head is None or mapped < head.end() - 1 or content[-1:] != b"\n":
            return None
        records = min(head.end(), mapped)
        return HeapFile(records, mapped, size, int(head[1]), int(head[2]))
