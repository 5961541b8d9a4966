import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from endoscope_memory import preload
from endoscope_memory.settings import MemorySettings

_HERE = Path(__file__).parent
_PROFILED = {"MALLOC_CONF": "prof:true,prof_active:false,lg_prof_sample:12"}


def _clean_environment():
    dropped = ("LD_PRELOAD", "MALLOC_CONF", "_RJEM_MALLOC_CONF", "PYTHONMALLOC")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPATH": str(_HERE)}


@dataclass(frozen=True)
class Finished:
    returncode: int
    stdout: str
    stderr: str

    @property
    def answer(self):
        assert self.returncode == 0, self.stderr
        return json.loads(self.stdout)


def _run(snippet, *arguments, options=(), **environment):
    command = [sys.executable, *options, "-c", snippet, *map(str, arguments)]
    given = {name: value for name, value in environment.items() if value is not None}
    done = subprocess.run(
        command,
        env={**_clean_environment(), **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def hosted():
    spec = importlib.util.spec_from_file_location("hosted", _HERE / "hosted.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def without_native():
    """Return what a snippet begins with where the native part shall be missing."""
    return "import sys; sys.modules['endoscope_memory._native'] = None\n"


@pytest.fixture(scope="session")
def plain():
    """Run a Python snippet without any jemalloc; its stdout is JSON."""
    return _run


@pytest.fixture(scope="session")
def libjemalloc():
    if sys.platform != "linux":
        pytest.skip("jemalloc is preloaded on Linux only")
    if (library := preload.find(MemorySettings(), {})) is None:
        pytest.skip(f"no libjemalloc is installed: {preload.install_command()}")
    return library


@pytest.fixture(scope="session")
def under_jemalloc(libjemalloc):
    """Run a Python snippet under a profiled jemalloc; a variable given as None is left out."""

    def run(snippet, *arguments, options=(), **environment):
        variables = {"LD_PRELOAD": str(libjemalloc), **_PROFILED, **environment}
        return _run(snippet, *arguments, options=options, **variables)

    return run


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Compile C source to a shared library."""

    def build(name, source, *flags):
        library = tmp_path_factory.mktemp("compiled") / name
        source_file = library.with_suffix(".c")
        source_file.write_text(source)
        command = ["cc", "-shared", "-fPIC", *flags, "-o", str(library), str(source_file)]
        try:
            subprocess.run(command, check=True)
        except FileNotFoundError:
            pytest.skip("no C compiler")
        return library

    return build


@pytest.fixture
def folder(tmp_path):
    """Make a directory for dumps, as core does."""
    directory = tmp_path / "memory"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def mounted(tmp_path):
    """Mount something on a path below `tmp_path`; unmounted in the end."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    points = []

    def mount(point, *arguments):
        done = subprocess.run(["mount", *arguments, str(point)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is not allowed here: {done.stderr.decode().strip()}")
        points.append(point)

    yield mount
    for point in reversed(points):
        subprocess.run(["umount", str(point)], check=True)
