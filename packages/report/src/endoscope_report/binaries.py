"""Where the binaries of a profiled process are found again: by build id, wherever they lie.

A file of the same name is often another build, and its names would be wrong without anybody
noticing. So the build id decides; a name does only where the dump has no build id.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from endoscope_report import elf
from endoscope_report.elf import Elf, ElfError

_FILES_MOST = 20_000  # of all folders; nobody keeps so many binaries in an archive


@dataclass(frozen=True, slots=True)
class Places:
    """Where binaries are looked for, beside the path that the dump recorded.

    `folders`: searched with all that is below them, such as an unpacked archive; a file there
    may have any name. `debug_folders`: laid out as Debian's, `.build-id/xx/yyyy.debug`.
    """

    folders: tuple[Path, ...] = ()
    debug_folders: tuple[Path, ...] = (Path("/usr/lib/debug"),)


class Binary(NamedTuple):
    """An ELF file."""

    path: Path
    elf: Elf


class Found(NamedTuple):
    """What there is of a library.

    `code` is the file that was loaded, None if only its debug information is here; `symbols`
    the file of the same build that tells most.
    """

    code: Binary | None
    symbols: Binary


class BinaryError(Exception):
    """The library is not here, or only another build of it. The text is a sentence."""


class Binaries:
    """All that is found in some places. Folders are read once, when first asked for."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def find(self, recorded: str, build_id: str) -> Found:
        """Find the library that was mapped from the path `recorded`.

        `build_id` is hexadecimal; if it is empty, the first file of that name is taken, whatever
        it is. Raises `BinaryError`.
        """
        path = Path(recorded)
        named = list(_readable(self._of_name(path)))
        wanted = build_id or next((each.elf.build_id for each in named), "")
        if wanted:
            of_build = _readable(self._of_build(path, wanted))
            same = [each for each in (*named, *of_build) if each.elf.build_id == wanted]
        else:  # nothing tells whether two files are one build
            same = named[:1]
        if not same:
            raise _missing(path, named, wanted)
        code = next((each for each in same if each.elf.has_code), None)
        return Found(code, max(same, key=_tells))

    def _of_name(self, path: Path) -> Iterator[Path]:
        yield from self._files[path.name]
        yield path

    def _of_build(self, path: Path, build_id: str) -> Iterator[Path]:
        for folder in self._places.debug_folders:
            yield folder / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"
        yield path.parent / f"{path.name}.debug"
        yield path.parent / ".debug" / f"{path.name}.debug"
        yield from self._builds[build_id]

    @cached_property
    def _files(self) -> defaultdict[str, list[Path]]:
        files = defaultdict(list)
        walks = (os.walk(folder) for folder in self._places.folders)
        paths = (Path(at, name) for walk in walks for at, _, names in walk for name in names)
        for path, _ in zip(paths, range(_FILES_MOST), strict=False):
            files[path.name].append(path)
        return files

    @cached_property
    def _builds(self) -> defaultdict[str, list[Path]]:
        builds = defaultdict(list)
        for paths in self._files.values():
            for binary in _readable(paths):
                builds[binary.elf.build_id].append(binary.path)
        return builds


def _tells(binary: Binary) -> tuple[bool, bool]:
    return binary.elf.has_lines, not binary.elf.is_stripped


def _readable(paths: Iterable[Path]) -> Iterator[Binary]:
    for path in paths:
        # ValueError: a path with a NUL in it, from a damaged dump.
        with suppress(OSError, ElfError, ValueError):
            yield Binary(path, elf.read(path))


def _missing(path: Path, others: list[Binary], wanted: str) -> BinaryError:
    if not others:
        return BinaryError(f"{path} is not here: its functions are called as in the dump.")
    here = others[0]
    build_id = f"id {here.elf.build_id}" if here.elf.build_id else "without an id"
    return BinaryError(
        f"{here.path} here is another build ({build_id} instead of {wanted}): "
        "its names are not used."
    )
