"""Progress bars on standard error, of a terminal only; as `endoscope export` has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from endoscope_profiles.printable import printable


def bars(console: Console) -> Progress:
    """Return bars that say how much was transferred, and are gone in the end."""
    # Texts may come from anybody: no markup. What is printed goes where it is sent to.
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )


@contextmanager
def reading(path: Path) -> Iterator[Callable[[int], None]]:
    """Show a bar while a file is read; yield what is told how many bytes of it are."""
    total = path.stat().st_size if path.is_file() else None
    with bars(Console(stderr=True)) as shown:
        task = shown.add_task(printable(path.name), total=total)
        yield lambda done: shown.update(task, completed=done)
