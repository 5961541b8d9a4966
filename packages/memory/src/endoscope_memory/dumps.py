"""The folder of dumps.

Every name is opened relative to the folder's descriptor and never through a symlink.
Several processes may share one folder: a dump gets its name without overwriting another,
and who reads one holds a shared lock on it, which retention in any process respects.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from endoscope import (
    BadRequestError,
    NoSpaceError,
    NotFoundError,
    RequestError,
    UnavailableError,
)
from endoscope_memory import kept_views
from endoscope_memory.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.prof")
_DRAFT_NAME = re.compile(r"\.[0-9a-f]{16}\.part")
_ABANDONED_AFTER_SECONDS = 3600  # no dump takes so long: its process was killed meanwhile
# O_NONBLOCK, since opening a FIFO would else wait for somebody to write to it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Not there, a symlink, a socket, somebody else's: for who asks they are all no dump.
_NO_DUMP = {errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EACCES}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# File systems without hard links answer with one of these.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True, slots=True)
class Dump:
    """A dump in the folder. `size` in bytes; `modified` in Unix seconds."""

    name: str
    size: int
    modified: float

    @property
    def created(self) -> str:
        """When it was written, RFC 3339 UTC."""
        return rfc3339(self.modified)


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


@dataclass(frozen=True, slots=True)
class Cleared:
    """What clearing the folder did: how many dumps went, and why others (by name) did not."""

    deleted: int
    errors: dict[str, str]


class DumpFolder:
    """The dumps in one directory. May be used from any thread; keeps nothing open itself."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def newest_first(self) -> list[Dump]:
        """Return the dumps; whatever else lies in the directory is passed over."""
        with self._folder() as folder, os.scandir(folder) as entries:
            found = [dump for entry in entries if (dump := _dump_of(entry))]
        return sorted(found, key=lambda dump: (dump.modified, dump.name), reverse=True)

    def open(self, name: str) -> BinaryIO:
        """Return the dump's content; the caller closes it, and until then it is being read.

        Raises `BadRequestError` for a name no dump can have, `NotFoundError` for one none has.
        """
        with self._folder() as folder:
            descriptor = _open_dump(name, folder)
        # A file system without locks gets by without: the reader keeps its descriptor.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return os.fdopen(descriptor, "rb")

    def delete(self, name: str) -> None:
        """Delete a dump, even one being read; raises as `open` does."""
        with self._folder() as folder:
            os.close(_open_dump(name, folder))
            with _translated(name):
                _unlink(name, folder)

    def clear(self) -> Cleared:
        """Delete all dumps; what cannot be deleted is reported and does not stop the others."""
        deleted, errors = 0, {}
        dumps = self.newest_first()
        with self._folder() as folder:
            for dump in dumps:
                try:
                    _unlink(dump.name, folder)
                    deleted += 1
                except FileNotFoundError:
                    continue  # another process was quicker
                except OSError as error:
                    errors[dump.name] = error.strerror or "unknown error"
        return Cleared(deleted, errors)

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Turn `OSError` while `what` is written into `NoSpaceError` or `RequestError`."""
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise self._no_space(what) from error
            raise RequestError(
                f"The {what} could not be written: {error.strerror}",
                remedy=f"See to it that the service can write to {self.directory}",
                code="dump_failed",
            ) from error

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """Make a draft, which is gone in the end whatever happens, unless it was adopted."""
        name = f".{os.urandom(8).hex()}.part"
        with self._folder() as folder:
            descriptor = os.open(name, _CREATE, 0o600, dir_fd=folder)
            try:
                yield Draft(self.directory / name, descriptor)
            finally:
                os.close(descriptor)
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)

    def adopt(self, draft: Draft, stem: str) -> Dump:
        """Give a finished draft the first free name of `{stem}.prof`, `{stem}-1.prof`, ..."""
        names = itertools.chain([f"{stem}.prof"], (f"{stem}-{n}.prof" for n in itertools.count(1)))
        with self._folder() as folder:
            name = next(name for name in names if _name_draft(draft.path.name, name, folder))
        status = os.fstat(draft.descriptor)
        return Dump(name, status.st_size, status.st_mtime)

    def find_view(self, name: str) -> BinaryIO | None:
        """Return the content of a view that was kept, if it still is; the caller closes it."""
        with self._folder() as folder:
            return kept_views.find(folder, name)

    def keep_view(self, draft: Draft, name: str, dumps: Iterable[str], keep_bytes: int) -> None:
        """Give a finished draft the name of a view of `dumps`, and forget old ones.

        Not if one of these was deleted meanwhile: then nothing may remain of it.
        """
        with self._folder() as folder:
            os.rename(draft.path.name, name, src_dir_fd=folder, dst_dir_fd=folder)
            for dump in dumps:
                if not _exists(dump, folder):
                    kept_views.forget(folder, dump)
            kept_views.trim(folder, keep_bytes)

    def trim(self, keep_dumps: int, keep_bytes: int, newest: str) -> list[str]:
        """Delete the oldest dumps beyond `keep_dumps` or `keep_bytes`; return their names.

        Never the one called `newest`, and never one that is being read.
        """
        dumps = self.newest_first()
        count, size, deleted = len(dumps), sum(dump.size for dump in dumps), []
        for dump in reversed(dumps):
            if count <= keep_dumps and size <= keep_bytes:
                break
            if dump.name != newest and self._delete_unread(dump.name):
                deleted.append(dump.name)
                count, size = count - 1, size - dump.size
        return deleted

    def sweep(self) -> None:
        """Delete the drafts that a killed process left behind."""
        with self._folder() as folder, os.scandir(folder) as entries:
            for entry in entries:
                if _DRAFT_NAME.fullmatch(entry.name) and _is_abandoned(entry):
                    with suppress(OSError):
                        os.unlink(entry.name, dir_fd=folder)

    def _no_space(self, what: str) -> NoSpaceError:
        disk = os.statvfs(self.directory)
        return NoSpaceError(
            f"No space for a {what} in {self.directory}: "
            f"{disk.f_bavail * disk.f_frsize} bytes are free",
            remedy="Delete dumps (DELETE /diagnostics/memory/dumps), or make room on that disk",
        )

    def _delete_unread(self, name: str) -> bool:
        with self._folder() as folder, suppress(OSError, NotFoundError):
            descriptor = _open_dump(name, folder)
            try:
                if _is_being_read(descriptor):
                    return False
                _unlink(name, folder)
            finally:
                os.close(descriptor)
            return True
        return False

    @contextmanager
    def _folder(self) -> Iterator[int]:
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.directory, flags)
        except OSError as error:
            raise UnavailableError(
                f"The folder of dumps, {self.directory}, cannot be opened: {error.strerror}",
                remedy="Make it again, as the service's user: install -d -m 700 "
                f"{self.directory}, or restart the service",
                code="no_dumps_folder",
            ) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _unlink(name: str, folder: int) -> None:
    """Delete a dump and what was made of it."""
    os.unlink(name, dir_fd=folder)
    kept_views.forget(folder, name)


def _dump_of(entry: os.DirEntry[str]) -> Dump | None:
    if not _NAME.fullmatch(entry.name):
        return None
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # deleted since the directory was read
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Dump(entry.name, status.st_size, status.st_mtime)


def _open_dump(name: str, folder: int) -> int:
    if not _NAME.fullmatch(name):
        raise BadRequestError(
            "This is no name of a dump",
            remedy="Take one from GET /diagnostics/memory/dumps",
            code="bad_dump_name",
        )
    with _translated(name):
        descriptor = os.open(name, _READ, dir_fd=folder)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise _not_found(name)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_DUMP:
            raise _not_found(name) from error
        raise


def _not_found(name: str) -> NotFoundError:
    return NotFoundError(
        f"There is no dump called {name}",
        remedy="GET /diagnostics/memory/dumps lists what there is",
        code="dump_not_found",
    )


def _name_draft(draft: str, name: str, folder: int) -> bool:
    """Return whether `draft` now has the name `name` too; False if that was taken."""
    try:
        os.link(draft, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _rename_draft(draft, name, folder)
    return True


def _rename_draft(draft: str, name: str, folder: int) -> bool:
    # Without hard links: reserve the name, so that what the rename overwrites is our own.
    try:
        os.close(os.open(name, _CREATE, 0o600, dir_fd=folder))
    except FileExistsError:
        return False
    os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    return True


def _is_abandoned(entry: os.DirEntry[str]) -> bool:
    with suppress(FileNotFoundError):
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED_AFTER_SECONDS
    return False


def _is_being_read(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: the reader keeps its descriptor
        return False
    return False
