"""Where a Python process that `endoscope run` has started begins.

Called by `zz_endoscope.pth` while Python starts, before the program's first line, in
every process that has `ENDOSCOPE_RUN` in its environment. It stands outside of the
package, and imports nothing heavy, because most such processes turn out to be some
program that the host has started, which is none of our business.

`ENDOSCOPE_RUN` is JSON, written by `endoscope.launch`:

    {"pid": 123,                            the process that shall start diagnostics
     "interpreter": "/venv/bin/python",     and the command line of the program
     "arguments": ["-m", "app"],
     "config": "/etc/router.yaml" or null,
     "disabled": ["export"],
     "environment": {"LD_PRELOAD": {"set": "libjemalloc.so.2", "before": null}}}
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

VARIABLE = "ENDOSCOPE_RUN"

# The command lines of processes that run a part of the program itself.
_WORKERS = ("from multiprocessing.spawn import", "from multiprocessing.forkserver import")

_KEYS = {"pid", "interpreter", "arguments", "config", "disabled", "environment"}

_arrived = False


def arrive() -> None:
    """Start diagnostics if this process is the program, or a worker of it."""
    global _arrived  # noqa: PLW0603  in a virtual environment `site` reads each .pth file twice
    if _arrived:
        return
    _arrived = True
    try:
        run = json.loads(os.environ[VARIABLE])
    except ValueError:
        return
    if not isinstance(run, dict) or not run.keys() >= _KEYS:
        return  # somebody else's, or a person's guess at what the variable is for
    if run["pid"] == os.getpid():
        _begin(run)
    elif _is_worker(run):
        _relaunch(run)


def _is_worker(run: dict[str, Any]) -> bool:
    """Tell whether this is the program once more (a reload), or a spawned part of it."""
    if sys.executable != run["interpreter"]:
        return False
    arguments = sys.orig_argv[1:]
    return arguments == run["arguments"] or any(word.startswith(_WORKERS) for word in arguments)


def _relaunch(run: dict[str, Any]) -> None:
    """Become this process again, with what must be in the environment from the start.

    The host's own environment lacks it, so that programs which are not Python never see
    it. The process's id stays, so that this happens once.
    """
    environment = dict(os.environ)
    environment.update({name: value["set"] for name, value in run["environment"].items()})
    environment[VARIABLE] = json.dumps({**run, "pid": os.getpid(), "worker": True})
    os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606  no shell is wanted


def _begin(run: dict[str, Any]) -> None:
    import endoscope

    try:
        endoscope.start(run["config"], disabled_plugins=run["disabled"])
    except endoscope.EndoscopeError as error:
        _report(error, worker=run.get("worker", False))
    finally:
        _tidy_environment(run)


def _report(error: Any, *, worker: bool) -> None:
    """Say what is wrong; end the program unless it is a worker, whose parent has started."""
    if worker:
        import logging

        logging.getLogger("endoscope").info("a worker runs without diagnostics: %s", error)
        return
    lines = [f"endoscope: {error.message}"]
    if error.remedy:
        lines.append(f"  {error.remedy}")
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()
    # An exception here would end in a traceback of `site`, and a status of its choice.
    os._exit(error.exit_code)


def _tidy_environment(run: dict[str, Any]) -> None:
    """Give child processes the environment that the host would have given them."""
    for name, value in run["environment"].items():
        if os.environ.get(name) != value["set"]:
            continue
        if value["before"] is None:
            del os.environ[name]
        else:
            os.environ[name] = value["before"]
    # A program that replaces itself keeps its id, and must be known as started afresh.
    os.environ[VARIABLE] = json.dumps({**run, "pid": 0})
