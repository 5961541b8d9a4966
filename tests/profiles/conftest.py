"""The judge and the witness: jeprof, and a dump that a real jemalloc wrote."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

_KEEP_AND_DUMP = """
import ctypes, sys
kept = [bytes(1000 + i % 2000) for i in range(20000)] + [{i: str(i)} for i in range(5000)]
try:
    mallctl = ctypes.CDLL(None).mallctl
except AttributeError:
    sys.exit(77)
name = ctypes.c_char_p(sys.argv[1].encode())
sys.exit(mallctl(b"prof.dump", None, None, ctypes.byref(name), ctypes.c_size_t(8)))
"""
_NO_JEMALLOC, _ENOENT = 77, 2


@dataclass(frozen=True)
class Told:
    """What jeprof says: the total, and what every stack holds, its frames outermost first."""

    total: int
    stacks: dict[tuple[str, ...], int]


@pytest.fixture(scope="session")
def jeprof(tmp_path_factory):
    """Ask jeprof about a dump with a symbol block."""
    if (program := shutil.which("jeprof")) is None:
        pytest.skip("jeprof is not installed: apt-get install libjemalloc-dev")
    file = tmp_path_factory.mktemp("jeprof") / "x.prof"

    def run(*options):
        command = [program, "--show_bytes", *options, file]
        # Perl's hashes have another order in each run, and sums another last digit.
        environment = {**os.environ, "PERL_HASH_SEED": "0"}
        done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
        return done.stdout.decode("utf-8", "replace")

    def ask(dump, what="--inuse_space"):
        file.write_bytes(dump)
        lines = [line.rpartition(" ") for line in run("--collapsed", what).splitlines()]
        stacks = {tuple(stack.split(";")): int(held) for stack, _, held in lines}
        assert len(stacks) == len(lines)
        return Told(int(re.match(r"Total: (\d+) ", run("--text", what))[1]), stacks)

    return ask


@pytest.fixture(scope="session")
def jemalloc_dump(tmp_path_factory):
    """Return what jemalloc wrote in a process that keeps 40 MB in 20,000 objects, and some more."""
    if sys.platform != "linux":
        pytest.skip("jemalloc is preloaded on Linux only")
    file = tmp_path_factory.mktemp("jemalloc") / "real.heap"
    environment = {
        **os.environ,
        "LD_PRELOAD": "libjemalloc.so.2",
        "MALLOC_CONF": "prof:true,lg_prof_sample:12",
        "PYTHONMALLOC": "malloc",
    }
    command = [sys.executable, "-c", _KEEP_AND_DUMP, file]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    if done.returncode == _NO_JEMALLOC:
        pytest.skip("libjemalloc is not installed: apt-get install libjemalloc2")
    if done.returncode == _ENOENT:
        pytest.skip("the installed libjemalloc is built without profiling")
    assert done.returncode == 0, done.stderr
    return file.read_bytes()
