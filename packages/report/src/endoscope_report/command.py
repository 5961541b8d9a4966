"""`endoscope report`: arguments to dumps to what people look at."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from endoscope.saving import written_whole
from endoscope.service import client_of, service_options
from endoscope_profiles.addition import add
from endoscope_profiles.aggregate import BY, PROCESS
from endoscope_profiles.process_views import (
    OUTLIER_FORMATS,
    parse_merged,
    parse_outliers,
    render_merged,
    render_outliers,
)
from endoscope_profiles.views import (
    FORMATS,
    GROWTH_FORMATS,
    HIDEABLE,
    View,
    ViewError,
    render,
    render_growth,
)
from endoscope_report.dump_reader import DumpReader
from endoscope_report.dumps import Dump, Dumps
from endoscope_report.output import printing

# Text goes to the terminal; these are for other programs.
_FILES = ("flamegraph", "pprof", "speedscope")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_STEM = 80
_MOST_NAMES = 5  # in a title
_ALL_FORMATS = tuple(dict.fromkeys((*FORMATS, *GROWTH_FORMATS, *OUTLIER_FORMATS)))


@click.command()
@click.argument("dumps", nargs=-1, metavar="[DUMP]...")
@click.option(
    "-f",
    "--format",
    "made",
    type=click.Choice(_ALL_FORMATS),
    help="What to make; top, or with --growth and --outliers text, if not given.",
)
@click.option("--diff", "base", metavar="BASE", help="Show what grew since the dump BASE.")
@click.option("--growth", is_flag=True, help="Show which stacks grow from dump to dump.")
@click.option(
    "--outliers", is_flag=True, help="Show which processes hold more than their siblings."
)
@click.option("--by", type=click.Choice(["stack", *BY, PROCESS]), help="What a table tells apart.")
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

    Of an archive with dumps of several processes the newest of each is meant, of the last hour
    before the newest of all. Unless something else is asked for, there is first a table of
    the processes, with those that stand out, and then what they hold together.
    """
    gc.disable()  # it would go through millions of frames that live as long as the process
    with ExitStack() as opened:
        found = Dumps(lambda: client_of(options), opened)
        make = _growth if options["growth"] else _outliers if options["outliers"] else _view
        made = make(found, dumps, options)
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
    if options["base"] or options["outliers"]:
        raise click.UsageError("--growth compares all dumps: leave --diff and --outliers out")
    view = _parsed(options, View.parse_growth, GROWTH_FORMATS, "text")
    dumps = [dump for name in names for dump in found.of_one_process(name)]
    dumps = dumps or [*found.all_of_service()]
    _tell_if_incomplete(dumps)
    reader = _reader(view, options)
    written = render_growth(view, [reader.read(dump) for dump in dumps])
    suffix = GROWTH_FORMATS[view.format].suffix
    return _Made(f"{_stem(dumps[-1])}-growth.{suffix}", True, [written])


def _outliers(found: Dumps, names: Sequence[str], options: dict[str, Any]) -> _Made:
    if options["base"]:
        raise click.UsageError("--outliers compares processes: leave --diff out")
    view = _parsed(options, parse_outliers, OUTLIER_FORMATS, "text")
    dumps = _of_processes(found, names)
    _tell_if_incomplete(dumps)
    suffix = OUTLIER_FORMATS[view.format].suffix
    written = _side_by_side(view, dumps, _reader(view, options))
    return _Made(f"{_stem(dumps[-1])}-outliers.{suffix}", True, [written])


def _view(found: Dumps, names: Sequence[str], options: dict[str, Any]) -> _Made:
    default = "flamegraph" if options["opens"] else "top"
    view = _parsed(options, View.parse if options["base"] else parse_merged, FORMATS, default)
    dumps = _of_processes(found, names)
    bases = [found.newest(options["base"])] if options["base"] else []
    _tell_if_incomplete([*dumps, *bases])
    reader = _reader(view, options)
    stem = "-since-".join(map(_stem, [dumps[-1], *bases]))
    title = _title(dumps, bases)
    made: Iterable[bytes]
    if bases:
        profile = add(reader.read_beside(dumps))
        made = render(view, profile, title=title, base=reader.read(bases[0]))
    else:
        made = render_merged(view, reader.read_beside(dumps), title=title)
    if len(dumps) > 1 and not bases and view == View():
        made = (_side_by_side(View("text"), dumps, reader), b"\n", *made)
    return _Made(f"{stem}.{FORMATS[view.format].suffix}", view.format not in _FILES, made)


def _of_processes(found: Dumps, names: Sequence[str]) -> list[Dump]:
    """Return the dumps that are meant; of an archive one of each of its processes."""
    if not names:
        return [found.newest("latest")]
    return [dump for name in names for dump in found.beside(name)]


def _side_by_side(view: View, dumps: Sequence[Dump], reader: DumpReader) -> bytes:
    profiles = reader.read_beside(dumps)
    return render_outliers(view, zip([dump.name for dump in dumps], profiles, strict=True))


def _title(dumps: Sequence[Dump], bases: Sequence[Dump]) -> str:
    names = ", ".join(dump.name for dump in dumps[:_MOST_NAMES])
    names += f" and {len(dumps) - _MOST_NAMES} more" * (len(dumps) > _MOST_NAMES)
    return f"{names}, since {bases[0].name}" if bases else names


def _parsed(
    options: dict[str, Any],
    parse: Callable[[Mapping[str, str]], View],
    formats: Iterable[str],
    default: str,
) -> View:
    texts = {name: options[name] for name in ("by", "limit", "focus", "ignore", "hide")}
    texts["value"] = "objects" if options["objects"] else ""
    texts["hide_kinds"] = ",".join(options["hide_kinds"])
    texts["fold"] = "1" if options["fold"] else ""
    given = {name: text for name, text in texts.items() if text}
    given["format"] = options["made"] or default
    try:
        return parse(given)
    except ViewError as error:
        other = error.option == "format" and given["format"] not in formats
        hint = "; the other formats are for --growth, for --outliers, or for neither"
        raise click.UsageError(f"{error}{hint if other else ''}") from error


def _reader(view: View, options: dict[str, Any]) -> DumpReader:
    names_native = options["native_names"] or options["binaries"]
    return DumpReader(
        threads=view.needs_threads, folders=options["binaries"] if names_native else None
    )


# --- what is said beside it -----------------------------------------------------------------------


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
