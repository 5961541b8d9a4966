"""The role of the one process that serves the service's listener.

It is a lock on a file: the kernel gives it back when its holder ends, however it ends, and it
can be handed over as a descriptor. The file says who has it. Whoever finds that the holder
does not answer any more (stopped, or kept from running by its own code) puts another file in
its place; the old holder, should it come back, sees that it has been replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from endoscope.processes.place import Name

# Three numbers of up to 64 bits, a token, and what stands between.
_LONGEST_NAME = 80
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Door:
    """The role, as the process called `name` sees it. Used by one thread at a time."""

    def __init__(self, folder: Path, name: Name) -> None:
        self._path = folder / "door"
        self._name = name
        self._lock: int | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this process has the role, and nobody has replaced it."""
        # A file that somebody has deleted replaces nothing.
        lock = self._lock
        return lock is not None and (_is_at(lock, self._path) or not self._path.exists())

    def holder(self) -> Name | None:
        """Return who has taken the role last, whether or not it lives."""
        try:
            return Name.parse(self._path.read_text(encoding="utf-8").rstrip())
        except (OSError, ValueError):
            return None

    def take(self) -> bool:
        """Take the role if nobody has it; return whether it is ours now."""
        if self.is_ours:
            return True
        self.drop()
        descriptor = os.open(self._path, _FLAGS, 0o600)
        if not _locked(descriptor) or not _is_at(descriptor, self._path):
            os.close(descriptor)
            return False
        self.receive(descriptor)
        return True

    def take_from_who_is_silent(self) -> None:
        """Take the role from a holder that lives and does not answer."""
        draft = self._path.with_name(f".door-{self._name.pid}-{self._name.token}")
        descriptor = os.open(draft, _FLAGS, 0o600)
        _locked(descriptor)
        self.drop()
        self.receive(descriptor)
        os.rename(draft, self._path)

    def receive(self, descriptor: int) -> None:
        """Take the role from a process that has handed it over."""
        self._lock = descriptor
        with contextlib.suppress(OSError):  # a full disk: then nobody knows, and we serve
            # In one piece, over what is there: who reads at this moment finds a name.
            os.pwrite(descriptor, str(self._name).ljust(_LONGEST_NAME).encode(), 0)
            os.ftruncate(descriptor, _LONGEST_NAME)

    def hand_over(self) -> int:
        """Give the role up to a process that gets this descriptor; close it when it is sent."""
        descriptor, self._lock = self._lock, None
        if descriptor is None:
            raise RuntimeError("only who has the role can hand it over")
        return descriptor

    def drop(self) -> None:
        """Give the role up; in a forked child, close what is the parent's."""
        if self._lock is not None:
            with contextlib.suppress(OSError):  # by a host that closes all descriptors
                os.close(self._lock)
            self._lock = None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: then whoever binds the listener first has it
        return True
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        own, there = os.fstat(descriptor), path.stat()
    except OSError:
        return False
    return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)
