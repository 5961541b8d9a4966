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
import stat
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
from endoscope_memory import drafts, kept_views, retention
from endoscope_memory.listing import NAME, READ, Dump, Listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from endoscope_memory.drafts import Draft
    from endoscope_memory.retention import Limits

# Not there, a symlink, a socket, somebody else's: for who asks they are all no dump.
_NO_DUMP = {errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EACCES}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Cleared:
    """What clearing the folder did: how many dumps went, and why others (by name) did not."""

    deleted: int
    errors: dict[str, str]


class DumpFolder:
    """The dumps in one directory. May be used from any thread; keeps nothing open itself."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._listing = Listing()

    def newest_first(self) -> list[Dump]:
        """Return the dumps; whatever else lies in the directory is passed over."""
        with self.opened() as folder:
            return self._listing.newest_first(folder)

    def files(self, names: Iterable[str]) -> list[os.stat_result]:
        """Return what the dumps of these names are as files; raises as `open` does."""
        with self.opened() as folder:
            return [_file(name, folder) for name in names]

    def open(self, name: str) -> BinaryIO:
        """Return the dump's content; the caller closes it, and until then it is being read.

        Raises `BadRequestError` for a name no dump can have, `NotFoundError` for one none has.
        """
        with self.opened() as folder:
            descriptor = _open_dump(name, folder)
        # A file system without locks gets by without: the reader keeps its descriptor.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return os.fdopen(descriptor, "rb")

    def delete(self, name: str) -> None:
        """Delete a dump, even one being read; raises as `open` does."""
        with self.opened() as folder:
            os.close(_open_dump(name, folder))
            with _translated(name):
                os.unlink(name, dir_fd=folder)
            kept_views.forget(folder, [name])

    def clear(self) -> Cleared:
        """Delete all dumps; what cannot be deleted is reported and does not stop the others."""
        deleted: list[str] = []
        errors = {}
        dumps = self.newest_first()
        with self.opened() as folder:
            for dump in dumps:
                try:
                    os.unlink(dump.name, dir_fd=folder)
                    deleted.append(dump.name)
                except FileNotFoundError:
                    continue  # another process was quicker
                except OSError as error:
                    errors[dump.name] = error.strerror or "unknown error"
            kept_views.forget(folder, deleted)
        return Cleared(len(deleted), errors)

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
        with self.opened() as folder, drafts.made(folder, self.directory) as draft:
            yield draft

    def adopt(self, draft: Draft, stem: str, pid: int) -> Dump:
        """Give a finished draft the first free name of `{stem}.prof`, `{stem}-1.prof`, ...

        `pid` is the process that it is of.
        """
        names = itertools.chain([f"{stem}.prof"], (f"{stem}-{n}.prof" for n in itertools.count(1)))
        with self.opened() as folder:
            name = next(name for name in names if drafts.name(folder, draft, name))
        status = os.fstat(draft.descriptor)
        return Dump(name, status.st_size, status.st_mtime, pid)

    def find_view(self, name: str) -> BinaryIO | None:
        """Return the content of a view that was kept, if it still is; the caller closes it."""
        with self.opened() as folder:
            return kept_views.find(folder, name)

    def keep_view(self, draft: Draft, name: str, dumps: Iterable[str], keep_bytes: int) -> None:
        """Give a finished draft the name of a view of `dumps`, and forget old ones.

        Not if one of these was deleted meanwhile: then nothing may remain of it.
        """
        with self.opened() as folder:
            os.rename(draft.path.name, name, src_dir_fd=folder, dst_dir_fd=folder)
            gone = [dump for dump in dumps if not _exists(dump, folder)]
            kept_views.forget(folder, gone)
            kept_views.trim(folder, keep_bytes)

    def trim(self, limits: Limits, newest: str) -> list[str]:
        """Delete the oldest dumps beyond the `limits`; return the names of those deleted here.

        Never the one called `newest`, and never one that is being read. Several processes may do
        this at the same time: what another one has deleted is gone for all of them.
        """
        deleted: list[str] = []

        def went(dump: Dump) -> bool:
            return dump.name != newest and self._went(dump.name, folder, deleted)

        dumps = self.newest_first()
        with self.opened() as folder:
            retention.trim(dumps, limits, went)
            kept_views.forget(folder, deleted)
        return deleted

    def sweep(self) -> None:
        """Delete the drafts that a killed process left behind."""
        with self.opened() as folder:
            drafts.sweep(folder)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open the folder; yields its descriptor. Raises `UnavailableError`."""
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

    def _no_space(self, what: str) -> NoSpaceError:
        disk = os.statvfs(self.directory)
        return NoSpaceError(
            f"No space for a {what} in {self.directory}: "
            f"{disk.f_bavail * disk.f_frsize} bytes are free",
            remedy="Delete dumps (DELETE /diagnostics/memory/dumps), or make room on that disk",
        )

    def _went(self, name: str, folder: int, deleted: list[str]) -> bool:
        """Delete a dump that nobody reads; return whether it is gone, whoever deleted it."""
        try:
            descriptor = _open_dump(name, folder)
        except (NotFoundError, OSError):
            return not _exists(name, folder)
        try:
            if not _is_locked_for(fcntl.LOCK_EX, descriptor):
                # Others read it, or one that deletes it as well has it for itself.
                is_read = _is_locked_for(fcntl.LOCK_SH, descriptor)
                return not is_read or not _exists(name, folder)
            os.unlink(name, dir_fd=folder)
            deleted.append(name)
        except OSError:
            return not _exists(name, folder)
        finally:
            os.close(descriptor)
        return True


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _file(name: str, folder: int) -> os.stat_result:
    descriptor = _open_dump(name, folder)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _open_dump(name: str, folder: int) -> int:
    if not NAME.fullmatch(name):
        raise BadRequestError(
            "This is no name of a dump",
            remedy="Take one from GET /diagnostics/memory/dumps",
            code="bad_dump_name",
        )
    with _translated(name):
        descriptor = os.open(name, READ, dir_fd=folder)
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


def _is_locked_for(kind: int, descriptor: int) -> bool:
    """Return whether a lock can be had; what another process holds may not allow it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: the reader keeps its descriptor
        return True
    return True
