"""The ways to run a program that are compared: what is started in it, and with what around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

INTERVAL = 524288


@dataclass(frozen=True, eq=False)
class Way:
    """One way to run a program.

    `profiler` is what the process starts in itself (a name that `profilers.py` knows, and its
    settings), `package` what must be installed for it. A `slow` one is given a fraction of
    the work. `countable` is whether it works under valgrind.
    """

    key: str
    title: str
    group: Literal["plain", "idle", "active", "peer"]
    profiler: tuple[str, dict[str, object]] = ("nothing", {})
    jemalloc: Literal["", "alone", "profiling"] = ""
    malloc: bool = False
    scalene: bool = False
    package: str = ""
    slow: int = 1
    countable: bool = True


def _ours(
    key: str, title: str, group: Literal["idle", "active"], until: str, **settings: object
) -> Way:
    """Return a way with one of our profilers in it, which is led as far as `until`."""
    jemalloc: Literal["", "profiling"] = "profiling" if settings["profiler"] == "jemalloc" else ""
    malloc = bool(settings.pop("malloc", False))
    settings["sample_interval_bytes"] = INTERVAL
    profiler: tuple[str, dict[str, object]]
    profiler = ("endoscope", {"until": until, "settings": settings})
    return Way(key, title, group, profiler, jemalloc, malloc)


def _peer(key: str, title: str, slow: int, name: str, **settings: object) -> Way:
    package = "" if name == "tracemalloc" else name
    return Way(key, title, "peer", (name, settings), package=package, slow=slow)


PLAIN = Way("plain", "plain CPython", "plain")
JEMALLOC = {"profiler": "jemalloc", "stacks": "python"}
SAMPLER = {"profiler": "sampler", "overhead_budget_percent": 2.0}

WAYS = (
    PLAIN,
    Way("jemalloc", "jemalloc alone, for comparison", "idle", jemalloc="alone"),
    _ours("jemalloc-idle", "jemalloc for profiling, not started", "idle", "chosen", **JEMALLOC),
    _ours("jemalloc-stopped", "the same, started and stopped", "idle", "stopped", **JEMALLOC),
    _ours("sampler-idle", "sampler, not started", "idle", "chosen", **SAMPLER),
    _ours("sampler-stopped", "the same, started and stopped", "idle", "stopped", **SAMPLER),
    _ours("sampler", "**sampler**, budget 2%", "active", "started", **SAMPLER),
    _ours(
        "sampler-0",
        "sampler, no budget",
        "active",
        "started",
        **{**SAMPLER, "overhead_budget_percent": 0},
    ),
    _ours("jemalloc-python", "**jemalloc**, Python stacks", "active", "started", **JEMALLOC),
    _ours(
        "jemalloc-mixed",
        "jemalloc, mixed stacks",
        "active",
        "started",
        **{**JEMALLOC, "stacks": "mixed"},
    ),
    _ours(
        "jemalloc-native",
        "jemalloc, native stacks",
        "active",
        "started",
        **{**JEMALLOC, "stacks": "native"},
    ),
    _ours(
        "jemalloc-malloc",
        "jemalloc, Python stacks, `PYTHONMALLOC=malloc`",
        "active",
        "started",
        **JEMALLOC,
        malloc=True,
    ),
    _peer("ddtrace", "ddtrace's heap profiler, 512 KiB", 1, "ddtrace", heap_sample_size=INTERVAL),
    Way("scalene", "scalene", "peer", scalene=True, package="scalene", countable=False),
    _peer("memray", "memray", 2, "memray"),
    _peer("memray-native", "memray, native stacks", 2, "memray", native_traces=True),
    _peer("memray-pymalloc", "memray, pymalloc traced", 4, "memray", trace_python_allocators=True),
    _peer("tracemalloc", "tracemalloc, 1 frame", 4, "tracemalloc", frames=1),
    _peer("tracemalloc-25", "tracemalloc, 25 frames", 16, "tracemalloc", frames=25),
)


def named(keys: list[str]) -> list[Way]:
    """Return the ways with these keys, and the plain one in front, which all are compared to."""
    return [way for way in WAYS if way is PLAIN or way.key in keys]
