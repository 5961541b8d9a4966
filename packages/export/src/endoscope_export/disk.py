"""The disk of the output directory: what may be taken of it, and files without a name on it."""

from __future__ import annotations

import errno
import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LEFT_FREE_BYTES = 64 * 1024 * 1024
"""What a disk must have beside what is written to it, so that the host does not run out."""


def free_bytes(directory: Path) -> int:
    """Return how many bytes are free, those that must be left included. Raises `OSError`."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def nameless_file(directory: Path) -> int:
    """Open a file that can be given a name later. Raises `OSError` where nobody can do that."""
    # Without O_EXCL, which would forbid the name.
    return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def temporary_file(directory: Path) -> int:
    """Open a file that is gone when it is closed. Raises `OSError`."""
    try:
        return nameless_file(directory)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR}:
            raise
    # A file system that knows no such thing.
    descriptor, path = tempfile.mkstemp(dir=directory)
    os.unlink(path)
    return descriptor


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however little the system takes at a time. Raises `OSError`."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
