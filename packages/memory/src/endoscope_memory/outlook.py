"""What a program started with `endoscope run` would find, judged from outside of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from endoscope_memory import preload, profiler
from endoscope_memory.availability import Availability, Reason
from endoscope_memory.profilers.jemalloc import JemallocProfiler
from endoscope_memory.profilers.sampler import SamplerProfiler
from endoscope_memory.settings import MemorySettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from endoscope_memory.dumps import DumpFolder

_TIME_LIMIT_SECONDS = 10


def outlook(
    settings: MemorySettings, dumps: DumpFolder, environment: Mapping[str, str]
) -> Availability:
    """Return how available the profiler that `settings` name would be to such a program."""
    if settings.profiler not in preload.PROFILERS:
        return profiler.choose(settings, dumps).availability
    jemalloc = jemalloc_outlook(settings, environment)
    sampler = SamplerProfiler(settings)
    if settings.profiler != "auto" or jemalloc.available or not sampler.availability.available:
        return jemalloc
    lack = profiler.instead(sampler, "jemalloc", jemalloc)
    return replace(profiler.described(sampler), caveats=(lack,))


def jemalloc_outlook(settings: MemorySettings, environment: Mapping[str, str]) -> Availability:
    """Return how available jemalloc would be to a program started from `environment`.

    A Python started as the program would be answers, which takes some 50 ms.
    """
    if sys.platform != "linux":
        return JemallocProfiler(settings).availability
    if (library := preload.find(settings, environment)) is None:
        return Availability(obstacles=(_missing(settings),))
    found = f"the library to preload is {library}"
    launched = {**environment, **preload.launch_environment(settings, environment)}
    launched.pop("ENDOSCOPE_RUN", None)  # it only looks, and must not begin to serve
    availability = _ask(settings, launched)
    return replace(availability, facts=(found, *availability.facts))


def _missing(settings: MemorySettings) -> Reason:
    if settings.jemalloc_path:
        return Reason(
            f"memory.jemalloc_path names {settings.jemalloc_path}, where there is no library "
            "for this machine",
            "Correct it, or leave it out to have the system's jemalloc found",
        )
    return Reason("No libjemalloc is installed", f"Install it: {preload.install_command()}")


def _ask(settings: MemorySettings, environment: Mapping[str, str]) -> Availability:
    given = settings.model_dump_json(exclude_unset=True)
    command = [sys.executable, "-P", "-m", "endoscope_memory.outlook", given]
    try:
        answer = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIME_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _does_not_start(f"it did not answer within {_TIME_LIMIT_SECONDS} s")
    if answer.returncode:
        complaints = answer.stderr.strip().splitlines() or ["no message"]
        return _does_not_start(f"exit status {answer.returncode}, {complaints[-1]}")
    return _availability(json.loads(answer.stdout))


def _does_not_start(why: str) -> Availability:
    reason = Reason(
        f"Python does not start with jemalloc preloaded: {why}",
        "Set memory.jemalloc_path to another libjemalloc",
    )
    return Availability(obstacles=(reason,))


def _availability(answer: dict[str, Any]) -> Availability:
    return Availability(
        obstacles=tuple(Reason(**each) for each in answer["obstacles"]),
        caveats=tuple(Reason(**each) for each in answer["caveats"]),
        facts=tuple(answer["facts"]),
    )


def _answer(given: str) -> str:
    settings = MemorySettings.model_validate_json(given)
    return json.dumps(asdict(profiler.described(JemallocProfiler(settings))))


if __name__ == "__main__":
    sys.stdout.write(_answer(sys.argv[1]))
