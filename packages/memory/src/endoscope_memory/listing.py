"""What dumps there are, and whose."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from endoscope_memory import facts
from endoscope_memory.times import rfc3339

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.prof")
"""What a dump may be called."""

# O_NONBLOCK, since opening a FIFO would else wait for somebody to write to it.
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

_HEAD_BYTES = 8192  # the facts, and the path of the executable in front of them


@dataclass(frozen=True, slots=True)
class Dump:
    """A dump in the folder. `size` in bytes; `modified` in Unix seconds.

    `pid` is the process that it is of; None if it does not say.
    """

    name: str
    size: int
    modified: float
    pid: int | None

    @property
    def created(self) -> str:
        """When it was written, RFC 3339 UTC."""
        return rfc3339(self.modified)


class _Identity(NamedTuple):
    inode: int
    modified_ns: int
    size: int


class Listing:
    """Lists dumps, and remembers of those that were listed last whose they are.

    To look into each of a thousand takes 20 ms, to list them 4 ms. May be used from any thread.
    """

    def __init__(self) -> None:
        self._pids: dict[_Identity, int | None] = {}

    def newest_first(self, folder: int) -> list[Dump]:
        """Return the dumps in the directory of that descriptor; what else lies there is no dump."""
        known, pids = self._pids, {}
        found = []
        for name, status in _files(folder):
            identity = _Identity(status.st_ino, status.st_mtime_ns, status.st_size)
            pid = known[identity] if identity in known else _pid(name, folder)
            pids[identity] = pid
            found.append(Dump(name, status.st_size, status.st_mtime, pid))
        self._pids = pids
        return sorted(found, key=lambda dump: (dump.modified, dump.name), reverse=True)


def _files(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not NAME.fullmatch(entry.name):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # deleted since the directory was read
                continue
            if stat.S_ISREG(status.st_mode):
                yield entry.name, status


def _pid(name: str, folder: int) -> int | None:
    try:
        descriptor = os.open(name, READ, dir_fd=folder)
    except OSError:
        return None
    try:
        return facts.pid_in(os.pread(descriptor, _HEAD_BYTES, 0))
    except OSError:
        return None
    finally:
        os.close(descriptor)
