"""The command line: arguments to settings to one call. The only place that prints and exits."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from endoscope import added_commands, doctor, launch, preview_view, top_view
from endoscope.client import Client
from endoscope.contributions import Problem
from endoscope.errors import EndoscopeError
from endoscope.service import client_of, config_option, configuration_of, dumps_of, service_options
from endoscope.sizes import size

_STATES = {"info": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}

Command = Callable[..., Any]


def main() -> None:
    """Run the command line. Errors of ours end here, in one message and an exit status."""
    try:
        # Of a command that ends by `context.exit` click returns the status, it does not exit.
        sys.exit(commands(standalone_mode=False))
    except EndoscopeError as error:
        click.echo(f"endoscope: {error.message}", err=True)
        if error.remedy:
            click.echo(f"  {error.remedy}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)


class _Commands(click.Group):
    """Our own commands, and those that other packages add (entry point `endoscope.commands`)."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *added_commands.names()})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return super().get_command(context, name) or added_commands.load(name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="endoscope")
def commands() -> None:
    """Look inside a running Python service."""


def _no_plugin_option(function: Command) -> Command:
    return click.option(
        "--no-plugin", "disabled", multiple=True, metavar="NAME", help="Leave a plugin out."
    )(function)


def _json_option(function: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(
        function
    )


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


# --- beside the service ------------------------------------------------------------------


@commands.command(context_settings={"allow_interspersed_args": False})
@config_option
@_no_plugin_option
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def run(config: Path | None, disabled: Sequence[str], program: Sequence[str]) -> None:
    """Run PROGRAM with diagnostics inside it.

    PROGRAM is what you would type without Endoscope: `python app.py`, `python -m module`,
    a script, or a console script such as gunicorn. Put `--` in front of it.
    """
    launch.run(program, configuration_of(config), disabled)


@commands.command("doctor")
@config_option
@_no_plugin_option
@_json_option
@click.pass_context
def examine(
    context: click.Context, config: Path | None, disabled: Sequence[str], as_json: bool
) -> None:
    """Check every precondition. Exits with 1 if something needed is missing."""
    problems = doctor.examine(configuration_of(config), disabled)
    if as_json:
        _print_json([dataclasses.asdict(problem) for problem in problems])
    else:
        _print_problems(problems)
    context.exit(1 if any(problem.severity == "error" for problem in problems) else 0)


def _print_problems(problems: Sequence[Problem]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 1))
    for problem in problems:
        table.add_row(_STATES[problem.severity], escape(problem.message))
        if problem.remedy:
            table.add_row("", f"[dim]->[/] {escape(problem.remedy)}")
    Console(soft_wrap=False).print(table)


@commands.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete this command: eval "$(endoscope completion bash)"."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  the choices are those that click has
    click.echo(kind(commands, {}, "endoscope", "_ENDOSCOPE_COMPLETE").source())


# --- asking a running service --------------------------------------------------------------


@commands.command()
@service_options
@_json_option
def status(as_json: bool, **options: Any) -> None:
    """Show the state of memory profiling."""
    answer = client_of(options).ask("GET", "/memory/status")
    if as_json:
        _print_json(answer)
        return
    table = Table(show_header=False, box=None)
    for name, value in answer.items():
        if name not in ("allocator", "cost", "problems"):
            table.add_row(name, escape(_shown(value)))
    for name, value in (answer.get("cost") or {}).items():
        table.add_row(f"cost {name}", escape(_shown(value)))
    for name, value in (answer.get("allocator") or {}).items():
        table.add_row(f"allocator {name}", size(value))
    Console().print(table)
    _print_problems([Problem(**problem) for problem in answer.get("problems", [])])


@commands.command("start")
@click.option("--interval", type=int, metavar="BYTES", help="One sample per so many bytes.")
@click.option("--discard", is_flag=True, help="Throw away what was sampled so far.")
@service_options
@_json_option
def start_profiling(interval: int | None, discard: bool, as_json: bool, **options: Any) -> None:
    """Switch memory profiling on."""
    wish = {"sample_interval_bytes": interval, "discard": discard}
    _report(client_of(options).ask("POST", "/memory/start", body=wish), as_json=as_json)


@commands.command("stop")
@service_options
@_json_option
def stop_profiling(as_json: bool, **options: Any) -> None:
    """Switch memory profiling off; what was sampled is kept."""
    _report(client_of(options).ask("POST", "/memory/stop"), as_json=as_json)


@commands.command()
@click.option("-n", "--limit", default=10, show_default=True, help="How many stacks.")
@click.option("--frames", default=5, show_default=True, help="How many frames of each.")
@service_options
@_json_option
def top(limit: int, frames: int, as_json: bool, **options: Any) -> None:
    """Show which stacks hold the most memory right now."""
    answer = client_of(options).ask("GET", "/memory/top", {"limit": str(limit)})
    if as_json:
        _print_json(answer)
    else:
        Console(soft_wrap=True).print(*top_view.lines(answer, frames), sep="\n", markup=False)


@commands.command()
@service_options
@_json_option
def dump(as_json: bool, **options: Any) -> None:
    """Write a heap dump on the service's side."""
    answer = client_of(options).ask("POST", "/memory/dump")
    if as_json:
        _print_json(answer)
    else:
        click.echo(f"{answer['message']}: {answer['dump_path']} ({size(answer['size'])})")
        for note in answer["notes"]:
            click.echo(f"  {note}")


@commands.command()
@service_options
@_json_option
def dumps(as_json: bool, **options: Any) -> None:
    """List the heap dumps, newest first."""
    answer = client_of(options).ask("GET", "/memory/dumps")
    if as_json:
        _print_json(answer)
        return
    table = Table("name", "size", "created")
    for row in answer:
        table.add_row(row["name"], size(row["size"]), row["created"])
    Console().print(table if answer else "no dumps")


@commands.command()
@click.argument("name", default="latest")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File or folder to write.")
@service_options
@_json_option
def download(name: str, output: Path | None, as_json: bool, **options: Any) -> None:
    """Download the heap dump NAME, by default the latest."""
    client = client_of(options)
    if name == "latest":
        name = dumps_of(client)[0]
    _save(client, f"/memory/dumps/{name}", output, {}, as_json=as_json)


@commands.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File or folder to write.")
@click.option("--only", metavar="GROUPS", help="Only these groups of members, comma-separated.")
@click.option("--without", metavar="GROUPS", help="All but these groups of members.")
@click.option("--since", metavar="TIME", help="Only files changed since: 2h, 7d, an RFC 3339 time.")
@click.option("--format", type=click.Choice(["tar.gz", "tar.zst"]), help="Kind of archive.")
@click.option("--preview", is_flag=True, help="Only list what would be in it, and be masked.")
@service_options
@_json_option
def export(output: Path | None, preview: bool, as_json: bool, **options: Any) -> None:
    """Download one archive with everything a person needs to find the fault."""
    query = {name: options[name] for name in ("only", "without", "since", "format")}
    given = {name: value for name, value in query.items() if value}
    if preview:
        _show_preview(client_of(options).ask("GET", "/export", given | {"preview": "1"}), as_json)
    else:
        _save(client_of(options), "/export", output, given, as_json=as_json)


@commands.command()
@service_options
@_json_option
def plugins(as_json: bool, **options: Any) -> None:
    """List the service's plugins and their failures."""
    answer = client_of(options).ask("GET", "/plugins")
    if as_json:
        _print_json(answer)
        return
    table = Table("plugin", "distribution", "version", "state", "hooks")
    for row in answer:
        errors = "\n".join(f"{f['hook']}: {f['error']}" for f in row["failures"])
        state = "disabled" if row["disabled"] else errors or "works"
        hooks = ", ".join(hook.removeprefix("endoscope_") for hook in row["hooks"])
        cells = (row["name"], row["distribution"], row["version"], state, hooks)
        table.add_row(*(escape(cell) for cell in cells))
    Console().print(table)


# --- how things are shown --------------------------------------------------------------------


def _report(answer: Any, *, as_json: bool) -> None:
    if as_json:
        _print_json(answer)
    else:
        click.echo(answer["message"])


def _show_preview(answer: Any, as_json: bool) -> None:
    if as_json:
        _print_json(answer)
    else:
        Console(soft_wrap=True).print(*preview_view.parts(answer), sep="\n")


def _save(
    client: Client, path: str, output: Path | None, query: dict[str, str], *, as_json: bool
) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    console = Console(stderr=True)
    silent = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=silent) as bar:
        task = bar.add_task(path.rsplit("/", 1)[-1], total=None)

        def progress(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        saved = client.save(path, output, query, progress)
    saved_bytes = saved.stat().st_size
    if as_json:
        _print_json({"path": str(saved), "size": saved_bytes})
    else:
        click.echo(f"{os.fspath(saved)} ({size(saved_bytes)})")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
