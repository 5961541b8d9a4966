"""Where the dumps of a report come from: files, archives, a running service."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from endoscope.client import Client
from endoscope.errors import EndoscopeError
from endoscope.service import dumps_of, is_dump_name
from endoscope_profiles.printable import printable
from endoscope_report import rounds
from endoscope_report.archive import Archive, is_archive

_TAKEN = re.compile(r"_(\d{1,20})(?:-(\d{1,9}))?\.prof$")
_MOST_DUMPS = 500  # each is an open file

Choice = Callable[[Mapping[str, rounds.Facts]], list[str]]
"""Chooses dumps, given in the order in which they were taken, by what they say of themselves."""


@dataclass(frozen=True, slots=True)
class Dump:
    """One dump: its name, its content, open and seekable, and the archive that it lay in."""

    name: str
    content: BinaryIO
    archive: Archive | None = None


class Dumps:
    """Opens dumps by what people call them.

    That is a file; an archive, which means its newest dump, or several of them; `ARCHIVE:NAME` for
    a certain one; and the name of a dump in the service that `client` returns, or `latest`.
    What is opened is closed with `opened`, and temporary files are gone then.
    """

    def __init__(self, client: Callable[[], Client], opened: ExitStack) -> None:
        self._client = client
        self._opened = opened
        self._archives: dict[Path, Archive] = {}

    def newest(self, name: str) -> Dump:
        """Return the dump that `name` means; of several the newest. Raises `EndoscopeError`."""
        archive = self._archive_called(name)
        return self._unpacked(archive, self._names(archive)[-1]) if archive else self._one(name)

    def beside(self, name: str) -> Sequence[Dump]:
        """Return the dumps that `name` means, the newest last: one of each process.

        See `rounds.last_round`. Raises `EndoscopeError`.
        """
        return self._chosen(name, rounds.last_round)

    def of_one_process(self, name: str) -> Sequence[Dump]:
        """Return the dumps that `name` means, as they were taken: those of the newest's process."""
        return self._chosen(name, rounds.of_newest_process)

    def _chosen(self, name: str, choice: Choice) -> Sequence[Dump]:
        archive = self._archive_called(name)
        if archive is None:
            return [self._one(name)]
        names = choice({each: _facts(archive, each) for each in self._names(archive)})
        if len(names) > _MOST_DUMPS:
            raise EndoscopeError(
                f"{archive.path} holds more than {_MOST_DUMPS} heap dumps",
                remedy="Name the ones that are meant: ARCHIVE:NAME.",
            )
        return [self._unpacked(archive, each) for each in names]

    def _archive_called(self, name: str) -> Archive | None:
        path = Path(name)
        return self._archive(path) if _is_file(path) and is_archive(path) else None

    def _one(self, name: str) -> Dump:
        if _is_file(Path(name)):
            return self._of_file(Path(name))
        archive, colon, member = name.rpartition(":")
        if colon and _is_file(Path(archive)):
            return self._of_archive_member(Path(archive), member)
        if name != "latest" and not is_dump_name(name):
            raise EndoscopeError(
                f"{printable(name)}: there is no such file", remedy="Name a dump, or an archive."
            )
        return self._of_service(name)

    def all_of_service(self) -> Sequence[Dump]:
        """Return the dumps that the service lists, as `of_one_process` does."""
        dumps = [self._of_service(name) for name in reversed(dumps_of(self._client()))]
        facts = {dump.name: rounds.facts_of(dump.content) for dump in dumps}
        kept = set(rounds.of_newest_process(facts))
        return [dump for dump in dumps if dump.name in kept]

    def _of_file(self, path: Path) -> Dump:
        try:
            return Dump(path.name, self._opened.enter_context(path.open("rb")))
        except OSError as error:
            raise EndoscopeError(
                f"{path}: cannot be read: {error.strerror}", remedy="Name another file."
            ) from error

    def _names(self, archive: Archive) -> list[str]:
        if not archive.dumps:
            raise EndoscopeError(
                f"{archive.path}: there is no heap dump in this archive",
                remedy="Take one before the export: endoscope start, endoscope dump.",
            )
        return sorted(archive.dumps, key=_age)

    def _of_archive_member(self, path: Path, name: str) -> Dump:
        if not is_archive(path):
            raise EndoscopeError(f"{path} is no archive", remedy="Name the dump itself.")
        archive = self._archive(path)
        if name not in archive.dumps:
            there = ", ".join(sorted(archive.dumps, key=_age)) or "none"
            raise EndoscopeError(
                f"{path}: there is no heap dump {printable(name)} in it",
                remedy=f"There are: {there}.",
            )
        return self._unpacked(archive, name)

    def _unpacked(self, archive: Archive, name: str) -> Dump:
        return Dump(name, self._opened.enter_context(archive.open_dump(name)), archive)

    def _archive(self, path: Path) -> Archive:
        if path not in self._archives:
            self._archives[path] = self._opened.enter_context(Archive.unpacked(path))
        return self._archives[path]

    def _of_service(self, name: str) -> Dump:
        try:
            if name == "latest":
                name = dumps_of(self._client())[0]
            folder = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="endoscope-"))
            saved = self._client().save(f"/memory/dumps/{name}", Path(folder) / "dump")
        except EndoscopeError as error:
            where = "" if name == "latest" else f"{name} is no file here, and of the service: "
            raise EndoscopeError(f"{where}{error.message}", remedy=error.remedy) from error
        return Dump(name, self._opened.enter_context(saved.open("rb")))


def _facts(archive: Archive, name: str) -> rounds.Facts:
    with archive.open_dump(name) as content:
        return rounds.facts_of(content)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # longer than a name may be, or with a NUL
        return False


def _age(name: str) -> tuple[int, int, str]:
    """Return what sorts the names of dumps as they were taken: the seconds that are in them."""
    found = _TAKEN.search(name)
    return (int(found[1]), int(found[2] or 0), name) if found else (0, 0, name)
