"""The command line: arguments to settings to one call.

Together with `printing` the only place that prints and exits.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from endoscope import (
    added_commands,
    doctor,
    launch,
    preview_view,
    processes_view,
    status_view,
    top_view,
)
from endoscope.client import Client
from endoscope.contributions import Problem
from endoscope.errors import EndoscopeError
from endoscope.printing import print_json, print_parts, print_problems, save, show, show_lines
from endoscope.replies import Reply
from endoscope.service import (
    answer_of,
    client_of,
    config_option,
    configuration_of,
    dumps_of,
    process_option,
    process_query,
    service_options,
)
from endoscope.sizes import size
from endoscope.tables import narrow
from endoscope.values import value

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
        print_json([dataclasses.asdict(problem) for problem in problems])
    else:
        print_problems(problems)
    context.exit(1 if any(problem.severity == "error" for problem in problems) else 0)


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
def processes(as_json: bool, **options: Any) -> None:
    """List the service's processes, and mark those that hold more than the others."""
    rows = client_of(options).ask("GET", "/processes")
    if as_json:
        print_json(rows)
    else:
        print_parts(processes_view.parts(rows))


@commands.command()
@process_option
@service_options
@_json_option
def status(as_json: bool, **options: Any) -> None:
    """Show the state of memory profiling."""
    answer = answer_of(options, "GET", "/memory/status")
    show(answer, _print_status, _print_status_of_all, as_json=as_json)


@commands.command("start")
@click.option("--interval", type=int, metavar="BYTES", help="One sample per so many bytes.")
@click.option("--discard", is_flag=True, help="Throw away what was sampled so far.")
@process_option
@service_options
@_json_option
def start_profiling(interval: int | None, discard: bool, as_json: bool, **options: Any) -> None:
    """Switch memory profiling on.

    What is asked of all processes holds for those that join them later, too.
    """
    wish = {"sample_interval_bytes": interval, "discard": discard}
    answer = answer_of(options, "POST", "/memory/start", body=wish)
    show_lines(answer, _message, as_json=as_json)


@commands.command("stop")
@process_option
@service_options
@_json_option
def stop_profiling(as_json: bool, **options: Any) -> None:
    """Switch memory profiling off; what was sampled is kept."""
    answer = answer_of(options, "POST", "/memory/stop")
    show_lines(answer, _message, as_json=as_json)


@commands.command()
@click.option("-n", "--limit", default=10, show_default=True, help="How many stacks.")
@click.option("--frames", default=5, show_default=True, help="How many frames of each.")
@process_option
@service_options
@_json_option
def top(limit: int, frames: int, as_json: bool, **options: Any) -> None:
    """Show which stacks hold the most memory right now.

    Without --process, of a service with several, those of the process that holds the most.
    """
    # Not all, as elsewhere: who is asked imports what reads profiles, 17 MB for good.
    options["process"] = options["process"] or _largest(client_of(options))

    def one(answer: Any) -> None:
        Console(soft_wrap=True).print(*top_view.lines(answer, frames), sep="\n", markup=False)

    def each(replies: Sequence[Reply]) -> None:
        first, *_ = ranked = top_view.most_first(replies)
        print_parts(
            [top_view.table_of_all(ranked), f"\nprocess {first.pid}, which holds the most:"]
        )
        one(first.answer)

    answer = answer_of(options, "GET", "/memory/top", {"limit": str(limit)})
    show(answer, one, each, as_json=as_json)


@commands.command()
@process_option
@service_options
@_json_option
def dump(as_json: bool, **options: Any) -> None:
    """Write a heap dump on the service's side."""
    show_lines(answer_of(options, "POST", "/memory/dump"), _dumped, as_json=as_json)


@commands.command()
@click.option("--by", metavar="WHAT", help="Tell excess by function, stack, line, file, package.")
@click.option("-n", "--limit", help="How many of these per outlier; 20 if not given.")
@click.option("--within", metavar="SECONDS", help="How far apart the dumps may be; 3600.")
@service_options
@_json_option
def outliers(as_json: bool, **options: Any) -> None:
    """Compare the newest dumps of all processes: who holds more, and in which functions."""
    given = {name: options[name] for name in ("by", "limit", "within") if options[name]}
    made = given | {"format": "json" if as_json else "text"}
    click.echo(client_of(options).fetch("GET", "/memory/outliers", made), nl=False)


@commands.command()
@service_options
@_json_option
def dumps(as_json: bool, **options: Any) -> None:
    """List the heap dumps, newest first."""
    answer = client_of(options).ask("GET", "/memory/dumps")
    if as_json:
        print_json(answer)
        return
    table = narrow(Column("name", overflow="fold"), "size", "created", "process")
    for row in answer:
        table.add_row(row["name"], size(row["size"]), row["created"], value(row["pid"]))
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
    save(client, f"/memory/dumps/{name}", output, {}, as_json=as_json)


@commands.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File or folder to write.")
@click.option("--only", metavar="GROUPS", help="Only these groups of members, comma-separated.")
@click.option("--without", metavar="GROUPS", help="All but these groups of members.")
@click.option("--since", metavar="TIME", help="Only files changed since: 2h, 7d, an RFC 3339 time.")
@click.option("--format", type=click.Choice(["tar.gz", "tar.zst"]), help="Kind of archive.")
@click.option("--preview", is_flag=True, help="Only list what would be in it, and be masked.")
@process_option
@service_options
@_json_option
def export(output: Path | None, preview: bool, as_json: bool, **options: Any) -> None:
    """Download one archive with everything a person needs to find the fault."""
    query = {name: options[name] for name in ("only", "without", "since", "format")}
    client = client_of(options)
    given = {name: text for name, text in query.items() if text}
    given |= process_query(client, options["process"])
    if preview:
        answer = client.ask("GET", "/export", given | {"preview": "1"})
        print_json(answer) if as_json else print_parts(preview_view.parts(answer))
    else:
        save(client, "/export", output, given, as_json=as_json)


@commands.command()
@service_options
@_json_option
def plugins(as_json: bool, **options: Any) -> None:
    """List the service's plugins and their failures."""
    answer = client_of(options).ask("GET", "/plugins")
    if as_json:
        print_json(answer)
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


def _largest(client: Client) -> str | None:
    """Return the process that has the most in memory, and say who that is; None for the only."""
    rows = [row for row in client.ask("GET", "/processes") if row["state"] == "serving"]
    if len(rows) < 2:
        return None
    found = max(rows, key=lambda row: row["resident_bytes"] or 0)
    resident = size(found["resident_bytes"])
    click.echo(f"process {found['pid']}, the largest of {len(rows)}: {resident} resident", err=True)
    return str(found["pid"])


def _print_status(answer: Any) -> None:
    print_parts([status_view.table(answer)])
    print_problems([Problem(**problem) for problem in answer["problems"]])


def _print_status_of_all(replies: Sequence[Reply]) -> None:
    print_parts([status_view.table_of_all(replies)])
    print_problems([*status_view.problems_of_all(replies)])


def _message(answer: Any) -> list[str]:
    return [answer["message"]]


def _dumped(answer: Any) -> list[str]:
    notes = (f"  {note}" for note in answer["notes"])
    return [f"{answer['message']}: {answer['dump_path']} ({size(answer['size'])})", *notes]
