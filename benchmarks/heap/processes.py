"""Starts the children, in the way that is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from heap.environment import Interpreter
from heap.ways import Way

CHILD = Path(__file__).parents[1] / "heap_child.py"
LONGEST = 900.0

_LAUNCH = """
import json, sys
from endoscope_memory import preload
from endoscope_memory.settings import MemorySettings
print(json.dumps(preload.launch_environment(MemorySettings(**json.loads(sys.argv[1])), {})))
"""


class ChildError(Exception):
    """A child did not do what it should, and this is the end of what it said."""


def run(
    interpreter: Interpreter,
    request: Mapping[str, Any],
    variables: Mapping[str, str],
    before: Sequence[str] = (),
    options: Sequence[str] = (),
) -> dict[str, float]:
    """Run a child to its end and return its result. Raises `ChildError`.

    `before` is put before its command line, `options` are the interpreter's.
    """
    command = [*before, interpreter.python, *options, str(CHILD), json.dumps(request)]
    environment = {**interpreter.environment, **variables}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=LONGEST, check=True
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        result = dict(json.loads(lines[-1]))
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip() or error.stdout.strip()
        raise ChildError(f"it ended with {error.returncode}: {said[-1000:]}") from error
    except (subprocess.TimeoutExpired, IndexError) as error:
        raise ChildError(str(error)[-1000:]) from error
    _note(interpreter, {**request, "variables": dict(variables), "result": result})
    return result


def _note(interpreter: Interpreter, line: Mapping[str, Any]) -> None:
    """Write down what was found, for who looks into the folder later."""
    with (interpreter.folder / "results.jsonl").open("a", encoding="utf-8") as notes:
        notes.write(json.dumps(line) + "\n")


@cache
def _launch_environment(interpreter: Interpreter, settings: str) -> dict[str, str]:
    command = [interpreter.python, "-c", _LAUNCH, settings]
    done = subprocess.run(
        command, env=interpreter.environment, capture_output=True, text=True, check=True
    )
    variables: dict[str, str] = json.loads(done.stdout)
    if not variables:
        sys.exit("no jemalloc was found to preload: install libjemalloc2")
    return variables


def launched(interpreter: Interpreter, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that `endoscope run` would add for such memory settings."""
    if settings["profiler"] != "jemalloc":
        return {}
    return dict(_launch_environment(interpreter, json.dumps(settings)))


def surroundings(interpreter: Interpreter, way: Way) -> tuple[dict[str, str], list[str]]:
    """Return the variables and the interpreter's options that this way needs."""
    variables: dict[str, str] = {}
    if way.jemalloc:
        settings = {"profiler": "jemalloc", **way.profiler[1].get("settings", {})}  # type: ignore[dict-item]
        variables = launched(interpreter, settings)
    if way.jemalloc == "alone":
        del variables["MALLOC_CONF"]
    if way.malloc:
        variables["PYTHONMALLOC"] = "malloc"
    scalene = ["-m", "scalene", "run", "-o", os.devnull] if way.scalene else []
    return variables, scalene
