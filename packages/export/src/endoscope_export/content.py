"""What a member's source turns into: something open, of a size that no longer changes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from endoscope import EndoscopeError, TimeLimitError
from endoscope_export import descriptors
from endoscope_export.pieces import Pause

# O_NONBLOCK: a FIFO that took the file's place must not hold us up until somebody writes.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_READ_BYTES = 64 * 1024
_MADE_UP_MOST = 4 * 1024 * 1024

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a directory",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


class ContentError(Exception):
    """A source that gives no content. `code` is the manifest's word for it, `message` why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Content(Protocol):
    """An open source.

    `size` is in bytes and final. `modified` is in Unix seconds, None for what was made for
    this archive.
    """

    @property
    def size(self) -> int: ...

    @property
    def modified(self) -> int | None: ...

    def read_into(self, room: memoryview, offset: int) -> int:
        """Fill the front of `room` from `offset` on; return how many bytes, 0 at the end."""

    def is_unchanged(self) -> bool:
        """Tell whether it is still as it was when it was opened."""

    def close(self) -> None:
        """Give back what is held open."""


def read(content: Content, room: memoryview, offset: int) -> tuple[int, str]:
    """Fill the front of `room` from `offset`; return how many bytes, and why there are none.

    That is for before the end only: the file shrank, or cannot be read any more.
    """
    try:
        filled = content.read_into(room, offset)
    except OSError as error:
        return 0, f"reading failed after {offset} of {content.size} bytes: {error.strerror}"
    if filled:
        return filled, ""
    return 0, f"it shrank from {content.size} to {offset} bytes while it was being read"


@dataclass(frozen=True, slots=True)
class Blob:
    """Content that is in memory already."""

    data: bytes
    modified: int | None = None

    @property
    def size(self) -> int:
        return len(self.data)

    def read_into(self, room: memoryview, offset: int) -> int:
        part = memoryview(self.data)[offset : offset + len(room)]
        room[: len(part)] = part
        return len(part)

    def is_unchanged(self) -> bool:
        return True

    def close(self) -> None:
        pass


class Identity(NamedTuple):
    """What tells a file from every other, and from itself at another time."""

    device: int
    inode: int
    size: int
    modified_nanoseconds: int
    changed_nanoseconds: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file from `start` on, by a descriptor of our own.

    `size` is what `fstat` said at the start, as is `identity`, which a file that was written
    anew or changed in place has another of; None for a file of ours.
    """

    descriptor: int
    size: int
    modified: int | None
    start: int = 0
    identity: Identity | None = None

    def read_into(self, room: memoryview, offset: int) -> int:
        return os.preadv(self.descriptor, [room], self.start + offset)

    def is_unchanged(self) -> bool:
        return self.identity == Identity.of(os.fstat(self.descriptor))

    def close(self) -> None:
        descriptors.close(self.descriptor)


Calling = Callable[[Callable[[], None]], Generator[Pause, None, None]]
"""Runs a function elsewhere, with pauses until it is over.

Raises what the function raises, or `TimeLimitError` if it takes too long.
"""


def open_source(
    source: object, calling: Calling, opening: Calling
) -> Generator[Pause, None, Content]:
    """Return a member's source, opened: bytes, a `Path`, or a callable.

    `calling` runs a callable, `opening` what opens a path.

    Raises `ContentError` whatever goes wrong; nothing is left open then, not even what an
    abandoned callable returns later.
    """
    if isinstance(source, bytes):
        return Blob(source)
    if isinstance(source, Path):
        # Elsewhere too: a file of a server that is dead takes for ever to be opened.
        return (yield from _Handover(partial(open_path, source)).run(opening))
    if callable(source):
        return (yield from _Handover(partial(_adopted, source)).run(calling))
    raise ContentError("wrong_type", f"its source is of type {type(source).__name__}")


def open_path(path: Path) -> Content:
    """Open a regular file that is no symbolic link; raise `ContentError` for anything else."""
    try:
        # Looked at before it is opened, because opening alone can already do something
        # (unblock a FIFO's writer, rewind a tape). What counts is fstat afterwards.
        _require_regular(os.lstat(path))
        return _measured(os.open(path, _FLAGS))
    except OSError as error:
        raise _unreadable(error) from error
    except ValueError as error:  # NUL or a lone surrogate in the name
        raise ContentError("unreadable", describe(error)) from error


def describe(error: BaseException) -> str:
    """Return an exception as one line, even if it is one that cannot be printed."""
    if isinstance(error, EndoscopeError):
        return error.message  # written for people, who need no name of a class
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a stranger's exception class may do anything
        text = "(cannot be printed)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _measured(descriptor: int) -> Content:
    """Take the descriptor over, and close it again if it is not a regular file's."""
    try:
        status = os.fstat(descriptor)
        _require_regular(status)
        made_up = b"" if status.st_size else _made_up(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    if made_up:
        os.close(descriptor)
        return Blob(made_up)
    descriptors.opened(descriptor)
    return OpenFile(
        descriptor,
        status.st_size,
        max(0, int(status.st_mtime)),
        identity=Identity.of(status),
    )


def _made_up(descriptor: int) -> bytes:
    """Return what a file holds that has no size: nothing, or what the kernel makes up, as in /proc.

    That is different each time, so it is read here, at once.
    """
    parts, read = [], 0
    while part := os.pread(descriptor, _READ_BYTES, read):
        parts.append(part)
        read += len(part)
        if read > _MADE_UP_MOST:
            message = f"it has no size, and more than {_MADE_UP_MOST} bytes"
            raise ContentError("too_large", message)
    return b"".join(parts)


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "of an unknown kind")
        raise ContentError("not_regular", f"it is {kind}, not a regular file")


def _unreadable(error: OSError) -> ContentError:
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}:
        return ContentError("vanished", "it was gone when its turn had come")
    if error.errno == errno.ELOOP:
        return ContentError("not_regular", "it is a symbolic link, not a regular file")
    return ContentError("unreadable", f"it cannot be opened: {error.strerror}")


def _failed_call(error: BaseException) -> ContentError:
    if isinstance(error, ContentError):
        return error
    if isinstance(error, TimeLimitError):
        return ContentError("timed_out", f"it took longer than its time limit: {error}")
    return ContentError("raised", describe(error))


class _Handover:
    """Takes content across threads so that none is lost open.

    Whoever comes second closes it: the thread that opens it if the content was abandoned
    before it was there, else the one who abandons it. Who came first is settled by
    `dict.setdefault`, which is atomic, and not by a lock, which in a host that gevent has
    patched would be one between greenlets.
    """

    def __init__(self, open_content: Callable[[], Content]) -> None:
        self._open_content = open_content
        self._settled: dict[str, Content | None] = {}

    def run(self, calling: Calling) -> Generator[Pause, None, Content]:
        try:
            yield from calling(self._open)
        except GeneratorExit:
            self._abandon()
            raise
        except BaseException as error:  # SystemExit and its like end nothing but this member
            self._abandon()
            raise _failed_call(error) from error
        return self._result()

    def _open(self) -> None:
        content = self._open_content()
        if self._settled.setdefault("content", content) is not content:
            content.close()

    def _result(self) -> Content:
        content = self._settled.setdefault("content", None)
        if content is None:
            raise ContentError("raised", "it ended without a result")
        return content

    def _abandon(self) -> None:
        content = self._settled.setdefault("content", None)
        if content is not None:
            content.close()


def _adopted(source: Callable[[], object]) -> Content:
    return _adopt(source())


def _adopt(value: object) -> Content:
    """Turn what a callable returned into content, and let go of the object itself.

    Reading through a descriptor of our own leaves nothing that the object's owner can
    close or move under us.
    """
    if isinstance(value, bytes):
        return Blob(value)
    if not hasattr(value, "fileno"):
        raise ContentError("wrong_type", f"it returned {type(value).__name__}")
    try:
        return _measured(_own_descriptor(value))
    except (OSError, ValueError, TypeError) as error:
        message = f"it returned no open file, but {type(value).__name__} ({describe(error)})"
        raise ContentError("wrong_type", message) from error
    finally:
        with suppress(Exception):  # its owner's trouble; we have what we need
            value.close()  # type: ignore[attr-defined]


def _own_descriptor(file: object) -> int:
    if hasattr(file, "flush"):  # bytes still in a writer's buffer are not in the file's size
        file.flush()
    return os.dup(file.fileno())  # type: ignore[attr-defined]
