"""`endoscope report`: arguments to dumps to what people look at."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from endoscope.errors import EndoscopeError
from endoscope.service import client_of, service_options
from endoscope_profiles import Frame, Profile, ProfileError, reading
from endoscope_profiles.addition import add
from endoscope_profiles.aggregate import BY
from endoscope_profiles.views import (
    FORMATS,
    GROWTH_FORMATS,
    HIDEABLE,
    View,
    ViewError,
    render,
    render_growth,
)
from endoscope_report import native_names, symbol_cache
from endoscope_report.binaries import Places
from endoscope_report.dumps import Dump, Dumps

# Text goes to the terminal; these are for other programs.
_FILES = ("flamegraph", "pprof", "speedscope")


@click.command()
@click.argument("dumps", nargs=-1, metavar="[DUMP]...")
@click.option(
    "-f",
    "--format",
    "made",
    type=click.Choice([*FORMATS, *(name for name in GROWTH_FORMATS if name not in FORMATS)]),
    help="What to make; top, or with --growth text, if not given.",
)
@click.option("--diff", "base", metavar="BASE", help="Show what grew since the dump BASE.")
@click.option("--growth", is_flag=True, help="Show which stacks grow from dump to dump.")
@click.option("--by", type=click.Choice(["stack", *BY]), help="What a table tells apart.")
@click.option("--objects", is_flag=True, help="Count blocks instead of bytes.")
@click.option("-n", "--limit", default=20, show_default=True, help="How many rows.")
@click.option("--focus", metavar="REGEX", help="Only stacks with a frame that matches.")
@click.option("--ignore", metavar="REGEX", help="No stacks with a frame that matches.")
@click.option("--hide", metavar="REGEX", help="Leave frames that match out of the stacks.")
@click.option(
    "--hide-kind",
    "hide_kinds",
    multiple=True,
    type=click.Choice(list(HIDEABLE)),
    help="Leave a kind of frames out; may be repeated.",
)
@click.option("--fold", is_flag=True, help="Take recursion out of the stacks.")
@click.option("--native-names", is_flag=True, help="Name C functions, lines and inlined calls.")
@click.option(
    "--binaries",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with the program's binaries, for --native-names; may be repeated.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File to write, - for stdout."
)
@click.option("--open", "opens", is_flag=True, help="Open it, by default a flame graph.")
@service_options
def report(dumps: Sequence[str], **options: Any) -> None:
    """Show what heap dumps say.

    A DUMP is a file, plain or compressed; an archive, of which the newest dump is meant, or
    ARCHIVE:NAME; or the name of a dump in a running service. Without one it is the service's
    latest. Several are added up, as those of the workers of one service.
    """
    gc.disable()  # it would go through millions of frames that live as long as the process
    with ExitStack() as opened:
        found = Dumps(lambda: client_of(options), opened)
        made = _growth(found, dumps, options) if options["growth"] else _view(found, dumps, options)
        _hand_over(made, options)


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made: how a file of it is called, whether it is for a terminal, its content."""

    name: str
    is_text: bool
    chunks: Iterable[bytes]


# --- what is asked for --------------------------------------------------------------------------


def _growth(found: Dumps, names: Sequence[str], options: dict[str, Any]) -> _Made:
    if options["base"]:
        raise click.UsageError("--growth compares all dumps: leave --diff out")
    view = _parsed(options, growth=True)
    dumps = [dump for name in names for dump in found.all(name)] or [*found.all_of_service()]
    _tell_if_incomplete(dumps)
    reader = _Reader(view, options)
    written = render_growth(view, [reader.read(dump) for dump in dumps])
    suffix = GROWTH_FORMATS[view.format].suffix
    return _Made(f"{_stem(dumps[-1])}-growth.{suffix}", True, [written])


def _view(found: Dumps, names: Sequence[str], options: dict[str, Any]) -> _Made:
    view = _parsed(options, growth=False)
    dumps = [found.newest(name) for name in names or ("latest",)]
    bases = [found.newest(options["base"])] if options["base"] else []
    _tell_if_incomplete([*dumps, *bases])
    reader = _Reader(view, options)
    profile = _added([reader.read(dump) for dump in dumps])
    base = reader.read(bases[0]) if bases else None
    title = _title(dumps, bases)
    stem = "-since-".join(map(_stem, [dumps[-1], *bases]))
    chunks = render(view, profile, title=title, base=base)
    return _Made(f"{stem}.{FORMATS[view.format].suffix}", view.format not in _FILES, chunks)


def _title(dumps: Sequence[Dump], bases: Sequence[Dump]) -> str:
    names = ", ".join(dump.name for dump in dumps)
    return f"{names}, since {bases[0].name}" if bases else names


def _parsed(options: dict[str, Any], *, growth: bool) -> View:
    default = "text" if growth else "flamegraph" if options["opens"] else "top"
    given = {
        "format": options["made"] or default,
        "value": "objects" if options["objects"] else "bytes",
        "limit": str(options["limit"]),
        "hide_kinds": ",".join(options["hide_kinds"]),
        "fold": "1" if options["fold"] else "0",
        **{name: options[name] for name in ("by", "focus", "ignore", "hide") if options[name]},
    }
    try:
        return View.parse_growth(given) if growth else View.parse(given)
    except ViewError as error:
        others = ", ".join(FORMATS if growth else GROWTH_FORMATS)
        hint = (
            f"; {others}: with{'out' if growth else ''} --growth"
            if error.option == "format"
            else ""
        )
        raise click.UsageError(f"{error}{hint}") from error


# --- profiles -------------------------------------------------------------------------------------


class _Reader:
    """Reads dumps as a view needs them. What could not be named is told once."""

    def __init__(self, view: View, options: dict[str, Any]) -> None:
        self._threads = view.needs_threads
        self._names_native = bool(options["native_names"] or options["binaries"])
        self._folders = options["binaries"]
        self._told: set[str] = set()

    def read(self, dump: Dump) -> Profile:
        try:
            names = self._native_names(dump) if self._names_native else None
            return reading.read(dump.content, threads=self._threads, native_names=names)
        except ProfileError as error:
            raise EndoscopeError(
                f"{dump.name}: {error}", remedy="Is it a heap dump, and was it fetched whole?"
            ) from error

    def _native_names(self, dump: Dump) -> Mapping[int, tuple[Frame, ...]]:
        native = reading.native_addresses(dump.content)
        dump.content.seek(0)
        folders = (*self._folders, *((dump.archive.binaries,) if dump.archive else ()))
        found = native_names.resolve(native, Places(folders), symbol_cache.of_user())
        for note in found.notes:
            if note not in self._told:
                click.echo(note, err=True)
        self._told.update(found.notes)
        return found.frames


def _added(profiles: Sequence[Profile]) -> Profile:
    if len(profiles) == 1:
        return profiles[0]
    runs = {tuple(profile.facts.get(key) for key in ("service", "pid")) for profile in profiles}
    if len(runs) < len(profiles):
        raise EndoscopeError(
            "Some of these dumps are of one process: added up, its memory would count twice",
            remedy="Give one dump of each process; or --growth, or --diff, to compare them.",
        )
    return add(profiles)


def _tell_if_incomplete(dumps: Iterable[Dump]) -> None:
    paths = {dump.archive.path for dump in dumps if dump.archive and not dump.archive.complete}
    for path in sorted(paths):
        click.echo(f"{path}: the archive is incomplete, its end is missing", err=True)


def _stem(dump: Dump) -> str:
    return dump.name.partition(".prof")[0]


# --- handing it over ----------------------------------------------------------------------------


def _hand_over(made: _Made, options: dict[str, Any]) -> None:
    output: Path | None = options["output"]
    to_stdout = str(output) == "-" or (output is None and made.is_text and not options["opens"])
    if to_stdout:
        _print(made.chunks)
        return
    path = output / made.name if output and output.is_dir() else output or Path(made.name)
    _save(path, made.chunks)
    click.echo(str(path), err=True)
    if options["opens"]:
        click.launch(str(path))


def _print(chunks: Iterable[bytes]) -> None:
    try:
        sys.stdout.buffer.writelines(chunks)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # `| head` has seen enough, and Python shall not flush once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _save(path: Path, chunks: Iterable[bytes]) -> None:
    try:
        with path.open("wb") as file:
            file.writelines(chunks)
    except OSError as error:
        if path.is_file():  # the half that was written looks like the whole
            path.unlink()
        raise EndoscopeError(
            f"{path} cannot be written: {error.strerror}", remedy="Name another with --output."
        ) from error
