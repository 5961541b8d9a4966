"""Answers on the terminal: for people, or as JSON for scripts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from endoscope.client import Client
from endoscope.contributions import Problem
from endoscope.replies import Replies, Reply
from endoscope.sizes import size

_STATES = {"info": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}


def print_parts(parts: Iterable[Table | str]) -> None:
    """Print tables, and lines of which none is broken."""
    console = Console()
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))


def print_json(value: Any) -> None:
    """Print for a script."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_problems(problems: Sequence[Problem]) -> None:
    """Print each with its state and remedy."""
    if not problems:
        return
    table = Table(show_header=False, box=None, padding=(0, 1))
    for problem in problems:
        table.add_row(_STATES[problem.severity], escape(problem.message))
        if problem.remedy:
            table.add_row("", f"[dim]->[/] {escape(problem.remedy)}")
    Console(soft_wrap=False).print(table)


def show(
    answer: Any,
    one: Callable[[Any], None],
    each: Callable[[Sequence[Reply]], None],
    *,
    as_json: bool,
) -> None:
    """Print an answer with `one`, those of all with `each`; end with 1 if a process failed."""
    if not isinstance(answer, Replies):
        print_json(answer) if as_json else one(answer)
        return
    if as_json:
        print_json(answer.collected)
    else:
        if answer.answers:
            each(answer.answers)
        for failure in answer.failures:
            click.echo("\n".join(failure.lines), err=True)
    click.get_current_context().exit(1 if answer.failures else 0)


def show_lines(answer: Any, lines: Callable[[Any], Sequence[str]], *, as_json: bool) -> None:
    """Show what is a few lines; of all processes, behind the id of each."""

    def one(said: Any) -> None:
        click.echo("\n".join(lines(said)))

    def each(replies: Sequence[Reply]) -> None:
        for reply in replies:
            click.echo(f"{reply.pid}  " + "\n  ".join(lines(reply.answer)))

    show(answer, one, each, as_json=as_json)


def save(
    client: Client, path: str, output: Path | None, query: Mapping[str, str], *, as_json: bool
) -> None:
    """Download to `output` as `Client.save` does, show how far it is, and print where it lies."""
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
        print_json({"path": str(saved), "size": saved_bytes})
    else:
        click.echo(f"{os.fspath(saved)} ({size(saved_bytes)})")
