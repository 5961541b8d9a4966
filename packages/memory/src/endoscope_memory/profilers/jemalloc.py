"""jemalloc's own heap profiler: everything that is taken from malloc, by native stack."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING

from endoscope_memory import jemalloc, malloc_conf, process
from endoscope_memory.availability import Availability, Coverage, Reason
from endoscope_memory.preload import install_command

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from endoscope_memory.jemalloc import Jemalloc

_HOW_TO_START = (
    "Start the program with `endoscope run`, or with LD_PRELOAD=libjemalloc.so.2 "
    "MALLOC_CONF=prof:true,prof_active:false PYTHONMALLOC=malloc"
)


class JemallocProfiler:
    """The profiler in the jemalloc that was preloaded when this process started.

    `wanted_interval` is the sample interval in bytes that the configuration asks for in so
    many words, if it does: jemalloc's is fixed at launch, so that the two can differ.
    """

    name = "jemalloc"

    def __init__(self, wanted_interval: int | None = None) -> None:
        self._wanted_interval = wanted_interval

    @cached_property
    def _jemalloc(self) -> Jemalloc | None:
        return jemalloc.loaded()

    @cached_property
    def availability(self) -> Availability:
        """Whether it works here; settled when the process started."""
        found, environment = self._jemalloc, process.initial_environment()
        obstacle = _obstacle(found, environment)
        if obstacle or not found:
            return Availability(obstacles=(obstacle,) if obstacle else ())
        caveats = _caveats(found, environment, self._wanted_interval)
        return Availability(caveats=caveats, facts=_facts(found))

    @property
    def active(self) -> bool:
        """Whether allocations are being sampled now."""
        return self._jemalloc is not None and self._jemalloc.active

    @property
    def sample_interval_bytes(self) -> int | None:
        """The mean number of allocated bytes between two samples; None where unavailable."""
        return self._required.sample_interval_bytes if self.availability.available else None

    @property
    def coverage(self) -> Coverage:
        """What its dumps show."""
        return Coverage(python_frames=False, small_objects=process.small_objects_reach_malloc())

    def start(self) -> None:
        """Begin to sample; harmless when it does so already."""
        self._required.set_active(active=True)

    def stop(self) -> None:
        """Cease to sample. What was sampled stays: `prof.reset` would throw it away."""
        self._required.set_active(active=False)

    def dump(self, path: Path) -> None:
        """Write a heap profile over the file at `path`; raises `MallctlError`."""
        self._required.dump(path)

    def allocator(self) -> dict[str, int] | None:
        """Return the allocator's statistics in bytes; None without a jemalloc."""
        statistics = self._jemalloc.statistics() if self._jemalloc else None
        return asdict(statistics) if statistics else None

    @property
    def _required(self) -> Jemalloc:
        if self._jemalloc is None:
            raise RuntimeError("jemalloc is not loaded: ask for `availability` first")
        return self._jemalloc


def _obstacle(found: Jemalloc | None, environment: Mapping[str, str]) -> Reason | None:
    if sys.platform != "linux":
        return Reason(
            f"jemalloc's heap profiler is not supported on this platform ({sys.platform}), "
            "only on Linux",
            "Set memory.profiler: auto, which goes on without it, or run the program on Linux",
        )
    if found is None:
        return _not_loaded(environment)
    if not found.built_for_profiling:
        return Reason(
            f"{_name(found)} was built without profiling",
            "Preload one that was built with --enable-prof, such as Debian's libjemalloc2 "
            "(setting memory.jemalloc_path)",
        )
    return None if found.profiling_enabled else _not_enabled(found, environment)


def _not_loaded(environment: Mapping[str, str]) -> Reason:
    remedy = f"{_HOW_TO_START}. If jemalloc is not installed: {install_command()}"
    preload = environment.get("LD_PRELOAD")
    why = f": LD_PRELOAD={preload} did not bring it" if preload else ""
    return Reason(f"jemalloc is not loaded in this process{why}", remedy)


def _not_enabled(found: Jemalloc, environment: Mapping[str, str]) -> Reason:
    name = malloc_conf.variable(found.prefix)
    return Reason(
        f"{_name(found)} was started with profiling switched off: "
        f"{_why_not_enabled(name, environment)}",
        f"Start the program with `endoscope run`, or with {name}=prof:true,prof_active:false",
    )


def _why_not_enabled(name: str, environment: Mapping[str, str]) -> str:
    text = environment.get(name)
    if text is None:
        others = (malloc_conf.variable(prefix) for prefix in ("", "_rjem_"))
        other = next((other for other in others if other in environment), None)
        return f"it reads {name}, not {other}" if other else f"{name} was not set"
    if malloc_conf.parse(text).get("prof") == "false":
        return f"{name} says prof:false"
    mistake = malloc_conf.mistake(text)
    return f"{name}={text} did not apply" + (f", because {mistake}" if mistake else "")


def _caveats(
    found: Jemalloc, environment: Mapping[str, str], wanted_interval: int | None
) -> tuple[Reason, ...]:
    caveats = (
        _another_malloc(found),
        _hidden_small_objects(environment),
        _mistaken_options(found, environment) or _other_interval(found, wanted_interval),
        _musl(),
    )
    return tuple(caveat for caveat in caveats if caveat)


def _another_malloc(found: Jemalloc) -> Reason | None:
    if found.serves_malloc:
        return None
    return Reason(
        f"{_name(found)} is loaded, but malloc is another library's: little will be seen",
        "Put jemalloc first in LD_PRELOAD, before any other allocator",
    )


def _hidden_small_objects(environment: Mapping[str, str]) -> Reason | None:
    if process.small_objects_reach_malloc():
        return None
    if process.ignores_python_variables():
        why = "python was started with -E or -I, which ignore PYTHONMALLOC"
        remedy = "Start python without -E and -I, with PYTHONMALLOC=malloc"
    else:
        setting = environment.get("PYTHONMALLOC")
        why = f"PYTHONMALLOC is {setting}" if setting else "PYTHONMALLOC is not set"
        remedy = "Start the program with PYTHONMALLOC=malloc, as `endoscope run` does"
    return Reason(f"Python objects of up to 512 bytes are not in the profile: {why}", remedy)


def _mistaken_options(found: Jemalloc, environment: Mapping[str, str]) -> Reason | None:
    name = malloc_conf.variable(found.prefix)
    text = environment.get(name, "")
    if not text or not (mistake := malloc_conf.mistake(text)):
        return None
    return Reason(
        f"A part of {name}={text} did not apply: {mistake}",
        f"Write {name} as name:value pairs with commas between and no blanks",
    )


def _other_interval(found: Jemalloc, wanted_interval: int | None) -> Reason | None:
    interval = found.sample_interval_bytes
    if wanted_interval is None or wanted_interval == interval:
        return None
    return Reason(
        f"jemalloc was started with a sample interval of {interval} bytes, "
        f"not {wanted_interval} as memory.sample_interval_bytes asks for",
        "Start the program with `endoscope run`, and without lg_prof_sample in "
        f"{malloc_conf.variable(found.prefix)}",
    )


def _musl() -> Reason | None:
    if not process.runs_on_musl():
        return None
    return Reason(
        "This Python runs on musl, where jemalloc's stack unwinder has been seen to deadlock",
        "Use an image with the GNU C library, such as python:slim, for heap profiles",
    )


def _facts(found: Jemalloc) -> tuple[str, ...]:
    return (
        f"{_name(found)} has profiling switched on",
        f"one sample is taken per {found.sample_interval_bytes} allocated bytes",
    )


def _name(found: Jemalloc) -> str:
    return f"jemalloc {found.version}" + (f" ({found.library})" if found.library else "")
