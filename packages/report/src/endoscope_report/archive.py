"""An archive of Endoscope's, as far as a report needs it: its dumps, and its binaries."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from endoscope.errors import EndoscopeError
from endoscope.service import is_dump_name
from endoscope_report.byte_stream import DamageError, opened
from endoscope_report.manifest import MANIFEST_JSON
from endoscope_report.tar_reader import Member, TarReader

_MOST_MEMBERS = 10_000
_MOST_BYTES = 64 << 30
_DUMPS = "memory/"
_BINARIES = "binaries/"
_TAR_AT, _TAR = 257, b"ustar"


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
        with opened(path) as content:
            head = content.read(_TAR_AT + len(_TAR))
    except DamageError:
        return False
    return head[_TAR_AT:] == _TAR


def _unpacked(path: Path, folder: Path) -> Archive:
    dumps: dict[str, Path] = {}
    binaries = folder / "binaries"
    binaries.mkdir()
    complete = False
    try:
        with opened(path) as stream:
            unpacked = _Unpacked(path)
            for member, content in TarReader(stream):
                complete = complete or member.path == MANIFEST_JSON
                if _is_dump(member):
                    unpacked.add(member)
                    dumps[member.path.removeprefix(_DUMPS)] = _written(content, folder)
                elif _is_binary(member):
                    unpacked.add(member)
                    _written(content, binaries)
    except DamageError:
        complete = False
    return Archive(path, dumps, binaries, complete)


class _Unpacked:
    """Counts what is unpacked, so that a hostile archive does not fill the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members = 0
        self._bytes = 0

    def add(self, member: Member) -> None:
        self._members += 1
        self._bytes += member.size
        if self._members > _MOST_MEMBERS or self._bytes > _MOST_BYTES:
            raise EndoscopeError(
                f"{self._path} holds more than {_MOST_MEMBERS} dumps and binaries, or more than "
                f"{_MOST_BYTES} bytes of them",
                remedy="Is it an archive of Endoscope's? Unpack the dump that is meant with tar.",
            )


def _is_dump(member: Member) -> bool:
    name = member.path.removeprefix(_DUMPS)
    return member.is_file and name != member.path and is_dump_name(name)


def _is_binary(member: Member) -> bool:
    path = member.path
    named = path.startswith(_BINARIES) or ("/" not in path and path.endswith("-binary"))
    return member.is_file and named


def _written(content: Iterable[bytes], folder: Path) -> Path:
    """Write to a file with a name of ours: those in an archive may say anything."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False, buffering=0) as file:
        for piece in content:
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
