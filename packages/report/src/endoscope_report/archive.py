"""An archive of Endoscope's, as far as a report needs it: its dumps, and its binaries."""

from __future__ import annotations

import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import zstandard

from endoscope.errors import EndoscopeError
from endoscope.service import is_dump_name

_MANIFEST = "manifest.json"
_PIECE_BYTES = 1 << 20
_MOST_MEMBERS = 10_000
_MOST_BYTES = 64 << 30
_DUMPS = "memory/"
_BINARIES = "binaries/"
_DAMAGED = (EOFError, zlib.error, tarfile.TarError, zstandard.ZstdError)
_GZIP, _ZSTD, _TAR_AT, _TAR = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", 257, b"ustar"


class Writable(Protocol):
    """A file that writes at once, and as much as there is room for."""

    def write(self, data: bytes, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive whose dumps and binaries were unpacked into temporary files.

    `dumps` are the files by the names of the dumps, `binaries` is the folder of the executable
    and the libraries, under any names. `complete` says whether the manifest is there, which
    comes last.
    """

    path: Path
    dumps: Mapping[str, Path]
    binaries: Path
    complete: bool

    @classmethod
    @contextmanager
    def unpacked(cls, path: Path) -> Iterator[Archive]:
        """Unpack an archive; the files are gone in the end. Raises `EndoscopeError`.

        One that breaks off yields what it had until there.
        """
        with tempfile.TemporaryDirectory(prefix="endoscope-") as folder:
            yield _unpacked(path, Path(folder))

    def open_dump(self, name: str) -> BinaryIO:
        """Return the content of a dump; the caller closes it."""
        return self.dumps[name].open("rb")


def is_archive(path: Path) -> bool:
    """Return whether a file is a tar archive, plain or compressed by gzip or zstd.

    Raises `EndoscopeError` if it cannot be read.
    """
    try:
        with path.open("rb") as file, _decompressed(file) as content:
            head = content.read(_TAR_AT + len(_TAR))
    except _DAMAGED:
        return False
    except OSError as error:
        if error.errno is None:  # gzip says so of what is none
            return False
        raise EndoscopeError(
            f"{path}: cannot be read: {error.strerror}", remedy="Name another file."
        ) from error
    return head[_TAR_AT:] == _TAR


@contextmanager
def _decompressed(file: BinaryIO) -> Iterator[BinaryIO]:
    import gzip

    magic = file.read(4)
    file.seek(0)
    if magic.startswith(_GZIP):
        with gzip.open(file) as content:
            yield cast("BinaryIO", content)
    elif magic == _ZSTD:
        with zstandard.ZstdDecompressor().stream_reader(file) as content:
            yield cast("BinaryIO", content)
    else:
        yield file


def _unpacked(path: Path, folder: Path) -> Archive:
    dumps: dict[str, Path] = {}
    binaries = folder / "binaries"
    binaries.mkdir()
    complete = False
    try:
        with path.open("rb") as file, _decompressed(file) as content:
            unpacked = _Unpacked(path)
            for member, data in _members(content):
                complete = complete or member.name == _MANIFEST
                if _is_dump(member.name):
                    unpacked.add(member)
                    dumps[member.name.removeprefix(_DUMPS)] = _written(data, folder)
                elif _is_binary(member.name):
                    unpacked.add(member)
                    _written(data, binaries)
    except (*_DAMAGED, OSError):
        complete = False
    return Archive(path, dumps, binaries, complete)


def _members(content: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, BinaryIO]]:
    with tarfile.open(fileobj=content, mode="r|") as archive:
        for member in archive:
            if member.isfile() and not member.issparse() and (data := archive.extractfile(member)):
                yield member, cast("BinaryIO", data)


class _Unpacked:
    """Counts what is unpacked, so that a hostile archive does not fill the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members = 0
        self._bytes = 0

    def add(self, member: tarfile.TarInfo) -> None:
        self._members += 1
        self._bytes += member.size
        if self._members > _MOST_MEMBERS or self._bytes > _MOST_BYTES:
            raise EndoscopeError(
                f"{self._path} holds more than {_MOST_MEMBERS} dumps and binaries, or more than "
                f"{_MOST_BYTES} bytes of them",
                remedy="Is it an archive of Endoscope's? Unpack the dump that is meant with tar.",
            )


def _is_dump(name: str) -> bool:
    return name.startswith(_DUMPS) and is_dump_name(name.removeprefix(_DUMPS))


def _is_binary(name: str) -> bool:
    return name.startswith(_BINARIES) or ("/" not in name and name.endswith("-binary"))


def _written(data: BinaryIO, folder: Path) -> Path:
    """Write to a file with a name of ours: those in an archive may say anything."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False, buffering=0) as file:
        while piece := data.read(_PIECE_BYTES):
            with _writing(folder):
                _write_all(file, piece)
    return Path(file.name)


def _write_all(file: Writable, piece: bytes) -> None:
    while piece:
        piece = piece[file.write(piece) :]


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EndoscopeError(
            f"An archive cannot be unpacked into {folder}: {error.strerror}",
            remedy="Make room there, or name another folder in TMPDIR.",
        ) from error
