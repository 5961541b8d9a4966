"""The files whose code a process had mapped when a dump was taken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from endoscope_profiles import limits
from endoscope_profiles.jemalloc_heap.lines import Lines

# The kernel's (proc_pid_maps(5)): begin-end, permissions, offset, device, inode, and a path in
# which a line feed is `\012`. Only what may be executed holds code.
_LINE = re.compile(
    rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) ..x. ([0-9a-f]{1,16}) \S{1,20} +\d{1,20} +(/[^\n]*)\n"
)
_ANY_LINE = re.compile(rb"[^\n]*\n")
_DELETED = b" (deleted)"


class MappedFile(NamedTuple):
    """A part of a file, mapped executable.

    The addresses from `start` up to `end`, which is not in it, held what lies in the file at
    `path` from byte `offset` on. A file that was gone by then has the path it had.
    """

    start: int
    end: int
    offset: int
    path: str


def read(lines: Lines) -> Iterator[MappedFile]:
    """Yield what the lines after `MAPPED_LIBRARIES:` tell. Raises `ProfileError`.

    What is no executable mapping of a file is passed over.
    """
    count = 0
    while line := lines.take(_LINE) or lines.take(_ANY_LINE):
        if line.re is _LINE:
            count += 1
            if count > limits.MAPPED_FILES:
                raise lines.error_in_last(f"at most {limits.MAPPED_FILES:,} executable mappings")
            yield MappedFile(int(line[1], 16), int(line[2], 16), int(line[3], 16), _path(line[4]))


def _path(written: bytes) -> str:
    path = written.removesuffix(_DELETED).replace(b"\\012", b"\n")
    return path.decode("utf-8", "replace")
