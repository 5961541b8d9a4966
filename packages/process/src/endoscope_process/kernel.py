"""System calls that are made for each of many descriptors or threads.

Python lets go of its lock around each call of `os`. In a host that computes all the time,
getting it back takes up to 5 ms (`sys.getswitchinterval`), so that to look at 10,000
descriptors would take a minute. Here the lock is kept for the call, which takes microseconds;
between two calls Python hands it over as ever. Only calls that the kernel answers at once may
be made this way: none that waits for a disk, for the network or for a lock that is held long.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass

_libc = ctypes.PyDLL(None, use_errno=True)

_PATH_BYTES = 4096
_READ_BYTES = 64 * 1024

_AT_EMPTY_PATH = 0x1000
_AT_STATX_DONT_SYNC = 0x4000  # what is known of a file, without asking a server that may be dead
_STATX_BASIC_STATS = 0x7FF


class _Entry(ctypes.Structure):
    """`struct dirent64`, the same for all architectures."""

    _fields_ = (
        ("inode", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("length", ctypes.c_ushort),
        ("kind", ctypes.c_ubyte),
        ("name", ctypes.c_char * 256),
    )


class _Statx(ctypes.Structure):
    """The front of `struct statx`, the same for all architectures; it has 256 bytes."""

    _fields_ = (
        ("mask", ctypes.c_uint32),
        ("block_size", ctypes.c_uint32),
        ("attributes", ctypes.c_uint64),
        ("links", ctypes.c_uint32),
        ("user", ctypes.c_uint32),
        ("group", ctypes.c_uint32),
        ("mode", ctypes.c_uint16),
        ("spare", ctypes.c_uint16),
        ("inode", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("rest", ctypes.c_byte * 208),
    )


_opendir = _libc.opendir
_opendir.restype = ctypes.c_void_p
_readdir = getattr(_libc, "readdir64", _libc.readdir)  # musl has but one of the two
_readdir.restype = ctypes.POINTER(_Entry)
_readdir.argtypes = [ctypes.c_void_p]
_libc.closedir.argtypes = [ctypes.c_void_p]
_libc.read.restype = _libc.readlink.restype = ctypes.c_ssize_t
_libc.read.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
_libc.readlink.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]


@dataclass(frozen=True, slots=True)
class FileStatus:
    """What `stat` calls `st_mode`, `st_nlink` and `st_size` (bytes)."""

    mode: int
    links: int
    size: int


def numbered_entries(folder: str) -> list[int]:
    """Return the names in `folder` that are numbers, in order. Raises `OSError`."""
    stream = _opendir(os.fsencode(folder))
    if not stream:
        raise _error(folder)
    try:
        names = _names(stream)
    finally:
        _libc.closedir(stream)
    return sorted(int(name) for name in names if name.isdigit())


def _names(stream: int) -> list[bytes]:
    names = []
    while entry := _readdir(stream):
        names.append(entry.contents.name)
    return names


def link(path: str) -> str:
    """Return where a symbolic link leads. Raises `OSError`."""
    room = ctypes.create_string_buffer(_PATH_BYTES)
    length = _libc.readlink(os.fsencode(path), room, _PATH_BYTES)
    if length < 0:
        raise _error(path)
    return os.fsdecode(ctypes.string_at(room, length))


def read(path: str) -> str:
    """Return the content of a file that the kernel makes up. Raises `OSError`."""
    descriptor = _libc.open(os.fsencode(path), os.O_RDONLY | os.O_CLOEXEC)
    if descriptor < 0:
        raise _error(path)
    try:
        return os.fsdecode(b"".join(_chunks(descriptor, path)))
    finally:
        _libc.close(descriptor)


def _chunks(descriptor: int, path: str) -> list[bytes]:
    room = ctypes.create_string_buffer(_READ_BYTES)
    chunks = []
    while (length := _libc.read(descriptor, room, _READ_BYTES)) > 0:
        chunks.append(ctypes.string_at(room, length))
    if length < 0:
        raise _error(path)
    return chunks


def status(descriptor: int) -> FileStatus:
    """Return what is known of an open file at this moment. Raises `OSError`.

    A file on a server that does not answer holds nobody up. Raises `AttributeError` where
    the C library has no `statx` (glibc before 2.28).
    """
    found = _Statx()
    flags = _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC
    if _libc.statx(descriptor, b"", flags, _STATX_BASIC_STATS, ctypes.byref(found)):
        raise _error(f"descriptor {descriptor}")
    return FileStatus(found.mode, found.links, found.size)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
