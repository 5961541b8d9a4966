"""`endoscope collect`: archives of many services into one folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TextIO

import click
from rich.console import Console
from rich.progress import Progress, TaskID

from endoscope.errors import EndoscopeError
from endoscope.service import access_options, secret_of
from endoscope_profiles.printable import printable
from endoscope_report import collection_index, sources
from endoscope_report.collection import Collection
from endoscope_report.collection_index import Row
from endoscope_report.fetching import Order
from endoscope_report.output import printing
from endoscope_report.progress import bars
from endoscope_report.sources import Source

_PASSED_ON = ("only", "without", "since", "format")


@click.command("collect")
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the archives and their index; it is made if need be.",
)
@click.option(
    "--from",
    "listed",
    metavar="FILE",
    type=click.File(encoding="utf-8", errors="surrogateescape"),
    help="A file with one URL per line, - for standard input.",
)
@click.option(
    "--at-most",
    metavar="N",
    type=click.IntRange(1, 256),
    default=4,
    show_default=True,
    help="From how many services at once.",
)
@click.option(
    "--retries",
    metavar="N",
    type=click.IntRange(0, 100),
    default=3,
    show_default=True,
    help="How often to ask again one that cannot be reached, is busy or breaks off.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(0, 86_400, min_open=True),
    default=60.0,
    show_default=True,
    help="How long to wait for the next byte.",
)
@click.option("--only", metavar="GROUPS", help="Only these groups of members, comma-separated.")
@click.option("--without", metavar="GROUPS", help="All but these groups of members.")
@click.option("--since", metavar="TIME", help="Only what is as new as that.")
@click.option("--format", metavar="FORMAT", help="Kind of archive: tar.gz or tar.zst.")
@click.option("--json", "as_json", is_flag=True, help="Print what index.json says.")
@access_options
@click.pass_context
def collect(context: click.Context, /, urls: Sequence[str], **options: Any) -> None:
    """Fetch the archives of many services into one folder, and verify them.

    URL is http://host:port, https://host:port, host:port or unix:/path. In the FILE of --from
    a line may be `URL secret-file=PATH`, for a service with a secret of its own; lines that
    begin with # are passed over. A URL that is given twice is fetched once.

    Each archive is written whole, as DIR/<host-port>-<the service's name for it>, and checked as
    by `endoscope verify`. A service that fails takes down no other: it is a row in
    DIR/index.json and DIR/index.txt, which say what came, whose it is, and what to do about
    the rest. After Ctrl+C they tell of what had come.

    Exits with 0 if all archives came and are whole, with 1 if one did not, or is not.
    """
    wanted = _wanted(urls, options["listed"])
    folder, query = options["output"], {k: options[k] for k in _PASSED_ON if options[k]}
    _make(folder)
    order = Order(query, options["retries"], options["timeout"], secret_of(options), options["ca"])
    with _Bars(len(wanted)) as observer:
        collection = Collection(wanted, folder, order, observer)
        ended = collection.run(options["at_most"])
    rows = collection.rows()
    told = collection_index.write(folder, rows, query)
    _print(folder, rows, json.dumps(told, indent=2) if options["as_json"] else "")
    if not ended:
        raise click.Abort
    context.exit(1 if any(row.error for row in rows) else 0)


def _wanted(urls: Sequence[str], listed: TextIO | None) -> list[Source]:
    """Return the services that are meant, each once; say what their user should know."""
    given = [*map(sources.parse, urls), *sources.parse_list(listed or ())]
    wanted, again = sources.distinct(given)
    if not wanted:
        raise click.UsageError("Name a service, or a file of them: --from FILE")
    for source in again:
        click.echo(f"{printable(source.url)}: it is named twice, and fetched once", err=True)
    for source in wanted:
        if source.note:
            click.echo(f"{printable(source.url)}: {source.note}", err=True)
    return wanted


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # archives are nobody else's business
    except OSError as error:
        raise EndoscopeError(
            f"{folder} cannot be made: {error.strerror}", remedy="Name another: --output."
        ) from error


def _print(folder: Path, rows: Sequence[Row], as_json: str) -> None:
    came = sum(row.error is None for row in rows)
    with printing():
        click.echo(as_json or f"{folder}: {came} of {len(rows)} archives, see index.txt there")


class _Bars:
    """A bar for each service that is being asked, and one for all; lines once they have ended."""

    def __init__(self, services: int) -> None:
        self._console = Console(stderr=True)
        self._bars: Progress = bars(self._console)
        self._services = services
        self._ended = 0
        self._overall = self._bars.add_task(self._count(), total=None)
        self._tasks: dict[Source, TaskID] = {}
        self._bytes: dict[Source, int] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def began(self, source: Source) -> None:
        self._tasks[source] = self._bars.add_task(printable(source.url), total=None)

    def moved(self, source: Source, done: int, total: int | None) -> None:
        self._bars.update(self._tasks[source], completed=done, total=total)
        self._bytes[source] = done
        self._bars.update(self._overall, completed=sum(list(self._bytes.values())))

    def ended(self, source: Source, row: Row) -> None:
        self._ended += 1
        self._bars.remove_task(self._tasks.pop(source))
        self._bars.update(self._overall, description=self._count())
        self._console.print(printable(row.line), markup=False, highlight=False, soft_wrap=True)

    def _count(self) -> str:
        return f"{self._ended} of {self._services} services"
