"""`endoscope doctor`: every precondition, its state and its remedy."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable

from endoscope import directories
from endoscope.assembly import Assembly, assemble
from endoscope.configuration import Configuration
from endoscope.contributions import Problem
from endoscope.errors import EndoscopeError
from endoscope.listener import Listener
from endoscope.processes.place import Place


def examine(source: Configuration, disabled: Iterable[str] = ()) -> tuple[Problem, ...]:
    """Judge what a start with this configuration would find. Leaves nothing behind."""
    try:
        assembly = assemble(source, disabled=disabled)
    except EndoscopeError as error:
        lines = error.message.splitlines()
        wrong = [Problem("error", line, error.remedy) for line in lines[-max(1, len(lines) - 1) :]]
        return (_python(), *wrong)
    try:
        return (
            _python(),
            _configuration(assembly),
            _output_directory(assembly),
            _listener(assembly),
            *_plugins(assembly),
            *assembly.problems(in_host=False),
        )
    finally:
        assembly.stop_workers()


def _python() -> Problem:
    return Problem(
        "info", f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    )


def _configuration(assembly: Assembly) -> Problem:
    origin = assembly.source.path or "the environment and defaults alone"
    if not assembly.settings.core.enabled:
        return Problem(
            "error",
            f"diagnostics are not enabled by {origin}",
            "Set `enabled: true`, or ENDOSCOPE_ENABLED=true.",
        )
    return Problem("info", f"the configuration is valid: {origin}")


def _output_directory(assembly: Assembly) -> Problem:
    path = assembly.identity.output_directory
    reason = directories.judge(path)
    if reason:
        return Problem(
            "error",
            f"{path} cannot be used for output: {reason}",
            "Set `output_directory` to a directory of this service's own.",
        )
    return Problem("info", f"output goes to {path}")


def _listener(assembly: Assembly) -> Problem:
    core = assembly.settings.core
    running = Place(core.output_directory, core.service_name, core.listen).members()
    if running:
        number = "1 process" if len(running) == 1 else f"{len(running)} processes"
        return Problem(
            "info", f"the service runs already, as {number} behind {core.listen}; others join"
        )
    try:
        listener = Listener(core.address)
    except EndoscopeError as error:
        return Problem("error", error.message, error.remedy)
    listener.close()
    return Problem("info", f"{core.listen} is free to listen on")


def _plugins(assembly: Assembly) -> list[Problem]:
    return [
        Problem("info", f"plugin {report.name} {report.version} ({report.distribution})")
        for report in assembly.plugins.reports()
        if not report.failures and not report.disabled
    ]
