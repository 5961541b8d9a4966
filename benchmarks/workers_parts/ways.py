"""The ways in which the host runs, and what goes on in it meanwhile."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_INTERVAL = 512 * 1024
_PEERS = ("memray", "ddtrace")
_HOST = ("flask", "gunicorn")


@dataclass(frozen=True)
class Way:
    """One way to run the host.

    `diagnosed`: under `endoscope run`; `active`: all its processes profile; `exporting`:
    archives of all processes are downloaded, one after the other. `variables`: the host's.
    """

    title: str
    diagnosed: bool = True
    active: bool = False
    exporting: bool = False
    peer: str = ""
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)


PLAIN = Way("without Endoscope", diagnosed=False)
OURS = (
    PLAIN,
    Way("idle"),
    Way("**all profiling**", active=True),
    Way("all exporting, again and again", exporting=True),
    Way("all profiling and exporting", active=True, exporting=True),
)


def _peer(title: str, name: str, **settings: object) -> Way:
    variables = {"PROFILER": name, "PROFILER_SETTINGS": json.dumps(settings)}
    return Way(title, diagnosed=False, peer=name, variables=variables)


OTHERS = (
    _peer("ddtrace's heap profiler, 512 KiB", "ddtrace", heap_sample_size=_INTERVAL),
    _peer("memray in each worker", "memray"),
)


def environment_of_peers(folder: Path, uv: Path) -> str:
    """Make a virtual environment with the host and the peers in `folder`; return its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        command = [str(uv), "venv", "--quiet", "--python", sys.executable, str(folder)]
        subprocess.run(command, check=True)
    host = [f"{name}=={importlib.metadata.version(name)}" for name in _HOST]
    command = [str(uv), "pip", "install", "--quiet", "--python", str(python), *host, *_PEERS]
    subprocess.run(command, check=True)
    return str(python)
