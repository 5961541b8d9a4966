"""An archive of Endoscope's, as far as a report needs it: its dumps, and its binaries."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from endoscope.errors import EndoscopeError

_MANIFEST = "manifest.json"
_DUMPS = "memory/"
_BINARIES = "binaries/"
_GZIP, _ZSTD, _TAR_AT, _TAR = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", 257, b"ustar"


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
    except (EOFError, zstandard.ZstdError, tarfile.TarError):
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
            for member, data in _members(content):
                complete = complete or member.name == _MANIFEST
                if _is_dump(member.name):
                    dumps[member.name.rpartition("/")[2]] = _written(data, folder)
                elif _is_binary(member.name):
                    _written(data, binaries)
    except (EOFError, OSError, tarfile.TarError, zstandard.ZstdError):
        complete = False
    return Archive(path, dumps, binaries, complete)


def _members(content: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, BinaryIO]]:
    with tarfile.open(fileobj=content, mode="r|") as archive:
        for member in archive:
            if member.isfile() and (data := archive.extractfile(member)):
                yield member, cast("BinaryIO", data)


def _is_dump(name: str) -> bool:
    return name.startswith(_DUMPS) and name.endswith(".prof")


def _is_binary(name: str) -> bool:
    return name.startswith(_BINARIES) or ("/" not in name and name.endswith("-binary"))


def _written(data: BinaryIO, folder: Path) -> Path:
    """Write to a file with a name of ours: those in an archive may say anything."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        shutil.copyfileobj(data, file, 1 << 20)
    return Path(file.name)
