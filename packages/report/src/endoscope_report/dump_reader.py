"""From dumps to the profiles of a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from endoscope.errors import EndoscopeError
from endoscope_profiles import Frame, Profile, ProfileError, reading
from endoscope_profiles.coverage import run_of
from endoscope_profiles.printable import printable
from endoscope_report import native_names, symbol_cache
from endoscope_report.binaries import Places
from endoscope_report.dumps import Dump


class DumpReader:
    """Reads dumps, with `threads` or without them. What could not be named is told once.

    `folders` are places of binaries, beside those of the dumps' archives, to name native code
    from; None: it is not named.
    """

    def __init__(self, *, threads: bool, folders: Sequence[Path] | None) -> None:
        self._threads = threads
        self._folders = folders
        self._told: set[str] = set()

    def read(self, dump: Dump) -> Profile:
        """Return the profile in a dump. Raises `EndoscopeError`."""
        dump.content.seek(0)  # it may have been read before
        try:
            names = None if self._folders is None else self._native_names(dump, self._folders)
            return reading.read(dump.content, threads=self._threads, native_names=names)
        except ProfileError as error:
            raise EndoscopeError(
                f"{dump.name}: {error}", remedy="Is it a heap dump, and was it fetched whole?"
            ) from error

    def read_beside(self, dumps: Iterable[Dump]) -> Iterator[Profile]:
        """Yield the profiles of processes that ran beside each other, one by one.

        Raises `EndoscopeError` for a second one of the same process.
        """
        runs: list[tuple[str, ...] | None] = []
        for dump in dumps:
            profile = self.read(dump)
            run = run_of(profile)
            if run is not None and run in runs:
                raise EndoscopeError(
                    "Some of these dumps are of one process: its memory would count twice",
                    remedy="Give one dump of each; or --growth, or --diff, to compare them.",
                )
            runs.append(run)
            yield profile
        if len(runs) > 1 and None in runs:
            click.echo("Not all dumps say of which process they are: they are added up.", err=True)

    def _native_names(self, dump: Dump, folders: Sequence[Path]) -> Mapping[int, tuple[Frame, ...]]:
        native = reading.native_addresses(dump.content)
        dump.content.seek(0)
        of_archive = (dump.archive.binaries,) if dump.archive else ()
        found = native_names.resolve(
            native, Places((*folders, *of_archive)), symbol_cache.of_user()
        )
        for note in found.notes:
            if note not in self._told:
                click.echo(printable(note), err=True)
        self._told.update(found.notes)
        return found.frames
