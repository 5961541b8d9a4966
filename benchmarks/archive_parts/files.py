"""What is exported and packed: heap dumps, binaries, and much that is small."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from archive_parts import logs
from endoscope_profiles import Frame, jemalloc_heap

MEGABYTE = 10**6

_DUMPS = 6
_STACKS = 25_000  # in a dump, of 30 frames: some 15.6 MB, of which zstd -1 makes a sixteenth
_DEPTH = 30
_FRAMES = 3_000
_INTERVAL = 524_288
_BINARIES = 91 * MEGABYTE
_PLACES = (Path(sys.base_prefix, "lib"), Path("/usr/lib"))
_SMALL = 100  # of text, and as many of JSON
_SMALL_BYTES = 10_000


def make(folder: Path) -> None:
    """Fill `folder` with some 187 MB: half dumps, half libraries of this machine, 2 MB small."""
    for name in ("dumps", "binaries", "small"):
        (folder / name).mkdir(parents=True)
    for number in range(_DUMPS):
        with (folder / "dumps" / f"heap_{number}.prof").open("wb") as file:
            file.writelines(jemalloc_heap.write(_stacks(number), interval_bytes=_INTERVAL))
    for number, library in enumerate(_libraries()):
        shutil.copyfile(library, folder / "binaries" / f"{number:03}-{library.name}")
    for number in range(_SMALL):
        text = logs.text("access", _SMALL_BYTES, number)
        (folder / "small" / f"{number:03}.txt").write_bytes(text)
        (folder / "small" / f"{number:03}.json").write_text(_document(number), encoding="utf-8")


def multiply(source: Path, folder: Path, size: int) -> None:
    """Fill `folder` with hard links to the large files in `source`, up to `size` bytes.

    Only to the large ones, since it is the bytes that are to be many, not the files.
    """
    large = [path for path in files_in(source) if path.stat().st_size > MEGABYTE]
    for turn in itertools.count():
        for path in large:
            size -= path.stat().st_size
            if size < 0:
                return
            link = folder / f"{turn:03}" / path.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)


def files_in(folder: Path) -> list[Path]:
    """Return all files in `folder`, at any depth."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def size_of(folder: Path) -> int:
    """Return how many bytes the files in `folder` have."""
    return sum(path.stat().st_size for path in files_in(folder))


def _stacks(seed: int) -> Iterator[tuple[Sequence[Frame], int, int]]:
    """Yield stacks of which each shares most of its outer frames with the one before it."""
    chance = random.Random(seed)  # noqa: S311  the same dumps every time
    frames = [_frame(number) for number in range(_FRAMES)]
    stem: list[Frame] = []
    for _ in range(_STACKS):
        del stem[max(chance.randrange(_DEPTH) for _ in range(3)) :]
        stem.extend(chance.choices(frames, k=_DEPTH - len(stem)))
        objects = chance.randint(1, 3)
        yield stem[::-1], objects, objects * chance.choice((48, 64, 512, 4096, 65536, 1 << 20))


def _frame(number: int) -> Frame:
    module = number % 500
    return Frame(
        f"Module{module}.function_{number}", f"/srv/app/package/module_{module}.py", number
    )


def _libraries() -> Iterator[Path]:
    """Yield shared objects, the largest first, as many as there is room for."""
    found = {
        (path.stat().st_size, path)
        for place in _PLACES
        for path in place.rglob("*.so*")
        if path.is_file() and not path.is_symlink()
    }
    left = _BINARIES
    for size, path in sorted(found, reverse=True):
        if size <= left and _is_elf(path):
            left -= size
            yield path


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _document(seed: int) -> str:
    chance = random.Random(seed)  # noqa: S311  the same documents every time
    rows = [
        {"id": chance.getrandbits(32), "state": chance.choice(("on", "off")), "load": number / 7}
        for number in range(_SMALL_BYTES // 60)
    ]
    return json.dumps({"rows": rows, "password": "correct horse battery staple"}, indent=1)
