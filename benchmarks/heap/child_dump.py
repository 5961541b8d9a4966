"""In the child: a heap of small objects, dumped, while other threads watch the clock."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from heap import profilers
from heap.child_cost import status
from heap.child_sample import functions

PATHS = 2000
"""So many different stacks the heap's blocks have, each about 25 frames deep."""
DEPTH = 25
PER_BATCH = 2000
NOTICED = 20000  # nanoseconds between two turns of a busy thread


@dataclass(frozen=True)
class Task:
    """A heap of `size` bytes, dumped `turns` times for each figure."""

    settings: dict[str, Any]
    size: int
    turns: int
    helper: str

    def run(self, folder: Path) -> dict[str, float]:
        """Return seconds, and bytes.

        `stall_*` are the longest that another thread was held up, as the median and the worst
        of the turns, `noise_*` the same while nobody dumped.
        """
        recorder = profilers.recorder(self.settings, folder)
        gc.disable()
        recorder.start()
        heap = grow(self.size)
        result = dict(facts(folder / recorder.dump().dump.name))

        def dump() -> None:
            recorder.dump()

        result["dump"] = statistics.median(seconds(dump) for _ in range(self.turns))
        if self.settings["profiler"] == "jemalloc":
            result["jemalloc_alone"] = alone(folder, self.turns)
        with watched_by_c(self.helper) as watch:
            result |= stalls("c", dump, watch, self.turns)
        with watched_by_python() as watch:
            result |= stalls("python", dump, watch, self.turns)
        del heap
        return result


def facts(dump: Path) -> Iterator[tuple[str, float]]:
    """Yield how large a dump is, how many samples and how many stacks it has."""
    content = dump.read_bytes()
    total = re.search(rb"^ *t\*: (\d+):", content, re.MULTILINE)
    yield "bytes", float(len(content))
    yield "samples", float(total[1]) if total else 0.0
    yield "stacks", float(content.count(b"\n@"))


def alone(folder: Path, turns: int) -> float:
    """Return how long jemalloc takes for its own profile."""
    from endoscope_memory import jemalloc

    found = jemalloc.loaded()
    if found is None:
        raise SystemExit("jemalloc is not loaded")
    path = folder / "alone"
    return statistics.median(seconds(lambda: found.dump(path)) for _ in range(turns))


def seconds(call: Callable[[], object]) -> float:
    """Return how long it takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


# --- the heap --------------------------------------------------------------------------------


def grow(size: int) -> list[Any]:
    """Return small objects of `size` bytes in all, from many places in the program."""
    paths = list(_paths())
    path = 0
    target = status("VmRSS") + size
    heap: list[Any] = []
    while status("VmRSS") < target:
        for _ in range(20):
            path = (path + 797) % PATHS  # from all over the place
            paths[path](lambda: heap.append(batch(len(heap))))
    return heap


def batch(number: int) -> list[tuple[int, str]]:
    """Return some 300 KB: tuples, numbers and texts."""
    return [(number + at, f"{number}.{at}") for at in range(PER_BATCH)]


def _paths() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Yield functions that call what they are given, each by way of others."""
    trunk = functions(DEPTH - 5)
    for number in range(PATHS):
        namespace: dict[str, Any] = {"trunk": trunk}
        source = f"def leaf_{number}(call):\n    return call()\n"
        source += f"def branch_{number}(call):\n    return trunk(lambda: leaf_{number}(call))\n"
        exec(compile(source, f"/service/branch_{number % 100}.py", "exec"), namespace)  # noqa: S102
        yield namespace[f"branch_{number}"]


# --- the watches -----------------------------------------------------------------------------


class Watch(Protocol):
    """A thread that is busy, and notices when it is held up."""

    def reset(self) -> None:
        """Forget what was noticed so far."""

    def longest(self) -> float:
        """Return the longest that it was held up since then, in seconds."""


def stalls(name: str, dump: Callable[[], None], watch: Watch, turns: int) -> dict[str, float]:
    """Return the longest stalls while dumping, and while as much else is done."""

    def longest(call: Callable[[], None]) -> float:
        time.sleep(0.05)
        watch.reset()
        call()
        return watch.longest()

    took: list[float] = []
    held = [longest(lambda: took.append(seconds(dump))) for _ in range(turns)]
    pause = statistics.median(took)
    noise = [longest(lambda: compute(pause)) for _ in range(turns)]
    return {
        f"dump_watched_by_{name}": pause,
        f"stall_{name}": statistics.median(held),
        f"stall_{name}_worst": max(held),
        f"noise_{name}": statistics.median(noise),
        f"noise_{name}_worst": max(noise),
    }


def compute(duration: float) -> None:
    """Keep a core busy for so long, without Python's lock but for a moment at each end."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", max(1, round(duration / _round_of_hashing())))


@cache
def _round_of_hashing() -> float:
    rounds = 20000
    return seconds(lambda: hashlib.pbkdf2_hmac("sha256", b"", b"", rounds)) / rounds


class _CWatch(ctypes.Structure):
    """What `watch_malloc` in `native.c` is given."""

    _fields_ = (("nanoseconds", ctypes.c_long), ("stop", ctypes.c_int))

    def reset(self) -> None:
        self.nanoseconds = 0

    def longest(self) -> float:
        return float(self.nanoseconds) / 1e9


@contextmanager
def watched_by_c(helper: str) -> Iterator[Watch]:
    """Have a thread take memory from malloc all the while, without Python."""
    watch = _CWatch()
    call = ctypes.CDLL(helper).watch_malloc
    with _thread(lambda: call(ctypes.byref(watch)), watch):
        yield watch


class _PythonWatch:
    def __init__(self) -> None:
        self.stop = 0
        self._gaps: list[int] = []  # only ever added to by the thread: no write is lost
        self._seen = 0

    def reset(self) -> None:
        self._seen = len(self._gaps)

    def longest(self) -> float:
        return max(self._gaps[self._seen :], default=0) / 1e9

    def run(self) -> None:
        last = time.perf_counter_ns()
        while not self.stop:
            made = [last]
            now = time.perf_counter_ns()
            if now - last > NOTICED:
                self._gaps.append(now - last)
            last = now
        del made


@contextmanager
def watched_by_python() -> Iterator[Watch]:
    """Have a thread make Python objects all the while."""
    watch = _PythonWatch()
    with _thread(watch.run, watch):
        yield watch


@contextmanager
def _thread(target: Callable[[], object], watch: _CWatch | _PythonWatch) -> Iterator[None]:
    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield
    finally:
        watch.stop = 1
        thread.join()
