"""The interpreter that is measured: everything in it, made on demand, outside of the workspace's.

Our packages are copied before they are built, so that nothing is built inside of the checkout,
and built anew for every run, so that what is measured is what lies there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
OURS = ("core", "profiles", "memory")
LIBRARIES = ("numpy", "jinja2", "starlette")
PEERS = ("memray", "scalene", "ddtrace")
# Variables of the caller that would make one process differ from an ordinary one.
LEFT_OUT = ("PYTHONPATH", "PYTHONMALLOC", "LD_PRELOAD", "MALLOC_CONF")

_VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python with our packages in it, and a folder for what is made for the run."""

    python: str
    folder: Path

    @cached_property
    def versions(self) -> dict[str, str]:
        """Return which of the packages that matter it has, by name."""
        command = [self.python, "-c", _VERSIONS, *LIBRARIES, *PEERS, "endoscope-memory"]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        return dict(json.loads(found.stdout))

    @cached_property
    def helper(self) -> Path:
        """Return the library made of `native.c`."""
        library = self.folder / "native.so"
        compiler = os.environ.get("CC", "cc")
        source = Path(__file__).with_name("native.c")
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)]
        subprocess.run(command, check=True)
        return library

    @cached_property
    def environment(self) -> dict[str, str]:
        """Return the variables that every process gets."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in LEFT_OUT and not name.startswith(("ENDOSCOPE_", "DD_"))
        }
        return {**kept, "PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode")}


def make(folder: Path) -> str:
    """Make a virtual environment in `folder`, or bring the one there up to date; its Python."""
    uv = next((str(path) for path in _places_of_uv() if path and path.exists()), None)
    if uv is None:
        sys.exit("uv is needed to make an environment (make .venv gets it), or say --python")
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    sources = folder / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    built = shutil.ignore_patterns("build", "dist", "*.egg-info", "*.so", "__pycache__")
    for name in OURS:
        shutil.copytree(CHECKOUT / "packages" / name, sources / name, ignore=built)
    command = [uv, "pip", "install", "--quiet", "--python", str(python), *LIBRARIES, *PEERS]
    command += [str(sources / name) for name in OURS]
    for distribution in ("endoscope", "endoscope-profiles", "endoscope-memory"):
        command += ["--reinstall-package", distribution]
    subprocess.run(command, check=True)
    return str(python)


def _places_of_uv() -> list[Path | None]:
    found = shutil.which("uv")
    return [CHECKOUT / ".tools" / "bin" / "uv", Path(found) if found else None]
