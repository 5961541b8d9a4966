"""Programs that are hard on a profiler, each in a process of its own, profiled in every way."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from endoscope_memory import native, preload
from endoscope_memory.settings import MemorySettings

SECONDS = float(os.environ.get("TORTURE_SECONDS", "10"))  # that a program goes on for

PRELUDE = """
import faulthandler, gc, json, os, random, sys, threading, time, zlib
faulthandler.enable()
from pathlib import Path
from endoscope_memory import native
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.profilers.jemalloc import JemallocProfiler
from endoscope_memory.profilers.sampler import SamplerProfiler
from endoscope_memory.settings import MemorySettings
from endoscope_memory.wish import Wish
from endoscope_profiles import jemalloc_heap

folder, kind, until = DumpFolder(Path(sys.argv[1])), sys.argv[2], time.time() + float(sys.argv[4])
settings = MemorySettings(
    profiler="sampler" if kind == "sampler" else "jemalloc",
    stacks="mixed" if kind == "mixed" else "python",
    sample_interval_bytes=1 << int(sys.argv[3]),
    overhead_budget_percent=0,
)
profiler = SamplerProfiler(settings) if kind == "sampler" else JemallocProfiler(settings)
walk = native.part.walk

def more():
    return time.time() < until

def dump():
    with folder.draft() as draft, folder.draft() as scratch:
        profiler.dump(draft, scratch, {"service": "shop"})
        return jemalloc_heap.parse(draft.path.read_bytes())

def agree():
    # The walker's stack is Python's own: with the GIL, and as jemalloc's hook finds it.
    own, frame = [], sys._getframe(1)
    while frame is not None:
        own.append((frame.f_code.co_qualname, frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    for found in walk(True)[1:], walk(False)[1:]:
        assert len(found) == min(len(own), 127), (len(found), len(own))
        for one, other in zip(found[:126], own):
            # An instruction that has no line is shown at the last one before it.
            assert one[:2] == other[:2] and other[2] in (one[2], None), (found, own)

def allocate(n):
    # Of both allocators, across their border, and in C with the GIL released.
    kept = [bytearray(n * 37 % 3000), [n] * (n % 200), {n: str(n)}, zlib.compress(b"x" * 9000)]
    kept[0] += bytes(n % 700)
    del kept[0][n % 9:]
    return kept

def on_threads(number, function):
    # Wait for them, and end as the first that failed did.
    failed = []
    def guarded(n):
        try: function(n)
        except BaseException as error: failed.append(error)
    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(number)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if failed: raise failed[0]

def answer(*values):
    print(json.dumps(values))

assert profiler.availability.available, profiler.availability
profiler.start(Wish())
"""


@dataclass(frozen=True)
class Way:
    """A way to profile: by the sampler, or jemalloc with `python` or `mixed` stacks."""

    kind: str
    lg_interval: int
    environment: dict[str, str]

    def run(self, command, time_limit, **environment):
        """Run Python with these arguments."""
        return subprocess.run(
            [sys.executable, *command],
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=time_limit,
            check=False,
            preexec_fn=_take_interrupts,
        )


def _take_interrupts():
    # What runs in a shell's background ignores them, and asyncio's tests then never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(
    params=[("sampler", 6), ("sampler", 12), ("python", 8), ("mixed", 12)],
    ids=lambda given: f"{given[0]}-{1 << given[1]}",
)
def way(request):
    kind, lg_interval = request.param
    if obstacle := native.obstacle():
        pytest.skip(obstacle.message)
    if kind == "sampler":
        return Way(kind, lg_interval, {})
    if (library := preload.find(MemorySettings(), {})) is None:
        pytest.skip(f"no libjemalloc is installed: {preload.install_command()}")
    options = f"prof:true,prof_active:false,lg_prof_sample:{lg_interval}"
    return Way(kind, lg_interval, {"LD_PRELOAD": str(library), "MALLOC_CONF": options})


@pytest.fixture
def program(way, tmp_path):
    """Run a snippet that is being profiled, for so many seconds; its stdout is JSON."""
    directory = tmp_path / "memory"
    directory.mkdir(mode=0o700)

    def run(snippet, seconds=SECONDS):
        arguments = (directory, way.kind, way.lg_interval, seconds)
        command = ["-c", PRELUDE + snippet, *map(str, arguments)]
        done = way.run(command, time_limit=10 * seconds + 60)
        assert done.returncode == 0, done.stderr[-5000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture
def needed():
    """Skip a test where a library is not installed."""

    def need(*names):
        for name in names:
            if importlib.util.find_spec(name) is None:
                pytest.skip(f"{name} is not installed")

    return need


@pytest.fixture
def site():
    """Return the folder whose sitecustomize.py profiles every Python that is started."""
    return Path(__file__).parent / "site"
