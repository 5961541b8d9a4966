"""`endoscope report`: arguments to dumps to what people look at."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from endoscope.errors import EndoscopeError
from endoscope.saving import written_whole
from endoscope.service import client_of, service_options
from endoscope_profiles import Frame, Profile, ProfileError, reading
from endoscope_profiles.addition import add
from endoscope_profiles.aggregate import BY
from endoscope_profiles.coverage import run_of
from endoscope_profiles.printable import printable
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
from endoscope_report.output import printing

# Text goes to the terminal; these are for other programs.
_FILES = ("flamegraph", "pprof", "speedscope")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_STEM = 80


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
@click.option("-n", "--limit", help="How many rows; 20 if not given.")
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
        inputs = [Path(name) for name in (*dumps, options["base"]) if name]
        _hand_over(made, options, inputs)


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
    texts = {name: options[name] for name in ("by", "limit", "focus", "ignore", "hide")}
    texts["value"] = "objects" if options["objects"] else ""
    texts["hide_kinds"] = ",".join(options["hide_kinds"])
    texts["fold"] = "1" if options["fold"] else ""
    given = {name: text for name, text in texts.items() if text}
    given["format"] = options["made"] or default
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
                click.echo(printable(note), err=True)
        self._told.update(found.notes)
        return found.frames


def _added(profiles: Sequence[Profile]) -> Profile:
    if len(profiles) == 1:
        return profiles[0]
    runs = [run for run in map(run_of, profiles) if run is not None]
    if len(set(runs)) < len(runs):
        raise EndoscopeError(
            "Some of these dumps are of one process: added up, its memory would count twice",
            remedy="Give one dump of each process; or --growth, or --diff, to compare them.",
        )
    if len(runs) < len(profiles):
        click.echo("Not all dumps say of which process they are: they are added up.", err=True)
    return add(profiles)


def _tell_if_incomplete(dumps: Iterable[Dump]) -> None:
    paths = {dump.archive.path for dump in dumps if dump.archive and not dump.archive.complete}
    for path in sorted(paths):
        click.echo(f"{path}: the archive is incomplete, its end is missing", err=True)


def _stem(dump: Dump) -> str:
    """Return how files made of a dump are called, whatever the name of that is."""
    stem = _UNSAFE.sub("_", dump.name.partition(".prof")[0]).lstrip("-._")
    return stem[:_LONGEST_STEM] or "dump"


# --- handing it over ----------------------------------------------------------------------------


def _hand_over(made: _Made, options: dict[str, Any], inputs: Iterable[Path]) -> None:
    output: Path | None = options["output"]
    to_stdout = str(output) == "-" or (output is None and made.is_text and not options["opens"])
    if to_stdout:
        _print(made.chunks)
        return
    named = output is not None and not output.is_dir()
    path = output if named and output else (output or Path()) / made.name
    if not named and path.exists():  # the dump has chosen that name, not the user
        raise click.UsageError(f"{path} is there already: name the file with --output")
    if any(each.exists() and path.exists() and each.samefile(path) for each in inputs):
        raise click.UsageError(f"{path} is what is being read: name another with --output")
    with written_whole(path) as write:
        for chunk in made.chunks:
            write(chunk)
    click.echo(str(path), err=True)
    if options["opens"]:
        click.launch(str(path.resolve()))


def _print(chunks: Iterable[bytes]) -> None:
    with printing():
        sys.stdout.buffer.writelines(chunks)
