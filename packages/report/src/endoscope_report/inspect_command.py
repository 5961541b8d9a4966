"""`endoscope inspect`: what an archive says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from endoscope_profiles.printable import printable
from endoscope_report.contents import Contents, contents_of
from endoscope_report.inspection import sections_of
from endoscope_report.output import printing
from endoscope_report.progress import reading
from endoscope_report.tables import show


@click.command("inspect")
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--in-order", is_flag=True, help="List files as they lie there, not largest first.")
@click.option("--members", is_flag=True, help="Print a line `bytes path` for each file, only.")
@click.option("--json", "as_json", is_flag=True, help="Print the archive's manifest.json, only.")
@click.pass_context
def inspect(context: click.Context, /, archive: Path, **options: Any) -> None:
    """Show what an archive says of itself.

    That is when it was made and of which process, what was asked for, its files, what was
    masked in them, what is not in it and why, and what the plugins tell. ARCHIVE is a file, plain
    or compressed, or - for standard input. Nothing is unpacked.

    Exits with 1 if the archive has no manifest: it is incomplete then, and its files are listed.
    Whether it is undamaged is what `endoscope verify` says.
    """
    with reading(archive) as progress:
        contents = contents_of(archive, progress)
    with printing():
        _show(contents, options)
    if contents.manifest is None or contents.trouble:
        click.echo(f"{archive}: {_what_is_wrong(contents)}", err=True)
        context.exit(1)


def _show(contents: Contents, options: dict[str, Any]) -> None:
    if options["members"]:
        members = contents.members
        listed = members if options["in_order"] else sorted(members, key=lambda each: -each.size)
        for member in listed:
            click.echo(f"{member.size} {printable(member.path)}")
    elif not options["as_json"]:
        show(sections_of(contents, in_order=options["in_order"]), Console())
    elif contents.manifest is not None:
        click.echo(json.dumps(contents.manifest.document, indent=2))


def _what_is_wrong(contents: Contents) -> str:
    if contents.manifest is None:
        why = contents.trouble or "there is no manifest.json in it"
        return f"the archive is incomplete: {why}"
    return f"the archive is damaged behind its manifest: {contents.trouble}"
