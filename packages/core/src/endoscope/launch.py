"""`endoscope run`: prepare the environment, then become the program.

The program is executed as it is, by the Python it names: its arguments, `__main__`,
standard input, signals and exit status are Python's own doing. Diagnostics begin inside
it while Python starts, through `_endoscope_arrival`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import _endoscope_arrival
from endoscope import settings
from endoscope.assembly import assemble
from endoscope.configuration import Configuration
from endoscope.errors import LaunchError
from endoscope.program import Program, check_interpreter, resolve


def run(words: Sequence[str], source: Configuration, disabled: Sequence[str]) -> NoReturn:
    """Replace this process by the program that `words` name, diagnostics inside it.

    Raises `LaunchError`, `SettingsError` or `PluginError`; returns never.
    """
    program = resolve(words)
    if not program.is_ours:
        interpreter = check_interpreter(program)
        program = Program(interpreter, program.arguments)
        if not program.is_ours:
            _hand_over(program, source, disabled)
    _check_arrival()
    environment = launch_environment(program, source, disabled)
    _execute(program.interpreter, program.arguments, environment)


def launch_environment(
    program: Program, source: Configuration, disabled: Sequence[str]
) -> dict[str, str]:
    """Return the environment in which `program` starts, as this process becomes it."""
    environment = {k: v for k, v in os.environ.items() if k != _endoscope_arrival.VARIABLE}
    if not settings.early(source).enabled:
        return environment
    assembly = assemble(source, disabled=disabled)
    try:
        wanted = assembly.plugins.launch_environment(environment)
    finally:
        assembly.stop_workers()
    changes = {
        name: {"set": value, "before": environment.get(name)} for name, value in wanted.items()
    }
    order = {
        "pid": os.getpid(),
        "interpreter": program.interpreter,
        "arguments": program.arguments,
        "config": str(source.path.absolute()) if source.path else None,
        "disabled": list(disabled),
        "environment": changes,
    }
    return {**environment, **wanted, _endoscope_arrival.VARIABLE: json.dumps(order)}


def _hand_over(program: Program, source: Configuration, disabled: Sequence[str]) -> NoReturn:
    """Let the Endoscope of the program's own environment do the rest: it has the plugins."""
    # -P: the folder that the user stands in may have a module of any name in it.
    arguments = ["-P", "-m", "endoscope", "run"]
    if source.path:
        arguments += ["--config", str(source.path)]
    for name in disabled:
        arguments += ["--no-plugin", name]
    arguments += ["--", program.interpreter, *program.arguments]
    _execute(program.interpreter, arguments, dict(os.environ))


def _check_arrival() -> None:
    """Refuse where the `.pth` file is not: the program would start without diagnostics."""
    if not any((Path(folder) / "zz_endoscope.pth").exists() for folder in sys.path if folder):
        raise LaunchError(
            "the file zz_endoscope.pth, which starts diagnostics, is not in site-packages",
            remedy=f"Install with: {sys.executable} -m pip install --force-reinstall endoscope",
        )


def _execute(interpreter: str, arguments: Sequence[str], environment: dict[str, str]) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # as it is where the descriptor was closed before us
            stream.flush()
    os.execve(interpreter, [interpreter, *arguments], environment)  # noqa: S606  no shell is wanted
