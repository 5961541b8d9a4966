"""Files that are still to become dumps.

All functions take the descriptor of the folder of dumps.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"\.[0-9a-f]{16}\.part")
_ABANDONED_AFTER_SECONDS = 3600  # no dump takes so long: its process was killed meanwhile
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# File systems without hard links answer with one of these.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True, slots=True)
class Draft:
    """A file that is still to become a dump, empty, mode 0600, under a name of its own."""

    path: Path
    descriptor: int

    def write_error(self) -> OSError | None:
        """Return why nothing can be appended to it, or None if it can.

        jemalloc does not tell a full disk from any other failure, so ask the file system
        itself. It appends to the draft: for one that is given up.
        """
        try:
            for _ in range(2):  # the first may still fill what is left
                os.pwrite(self.descriptor, bytes(65536), os.fstat(self.descriptor).st_size)
        except OSError as error:
            return error
        return None


@contextmanager
def made(folder: int, directory: Path) -> Iterator[Draft]:
    """Make a draft in `directory`, which is gone in the end unless it was named."""
    name = f".{os.urandom(8).hex()}.part"
    descriptor = os.open(name, _CREATE, 0o600, dir_fd=folder)
    try:
        yield Draft(directory / name, descriptor)
    finally:
        os.close(descriptor)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)


def name(folder: int, draft: Draft, wanted: str) -> bool:
    """Return whether a draft now has the name that is wanted for it; False if that was taken."""
    own = draft.path.name
    try:
        os.link(own, wanted, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename(folder, own, wanted)
    return True


def _rename(folder: int, own: str, wanted: str) -> bool:
    # Without hard links: reserve the name, so that what the rename overwrites is our own.
    try:
        os.close(os.open(wanted, _CREATE, 0o600, dir_fd=folder))
    except FileExistsError:
        return False
    os.rename(own, wanted, src_dir_fd=folder, dst_dir_fd=folder)
    return True


def sweep(folder: int) -> None:
    """Delete the drafts that a killed process left behind."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and _is_abandoned(entry):
                with suppress(OSError):
                    os.unlink(entry.name, dir_fd=folder)


def _is_abandoned(entry: os.DirEntry[str]) -> bool:
    with suppress(FileNotFoundError):
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED_AFTER_SECONDS
    return False
