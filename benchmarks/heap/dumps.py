"""The part `dump`: how long a dump takes, and how long it holds up everybody else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from heap.environment import Interpreter
from heap.processes import ChildError, launched, run
from heap.tables import headings, row, say

GIGABYTE = 10**9
SIZES = (0.1, 1.0, 4.0)  # GB
_EXACT_UP_TO = 0.1  # beyond that the exact ones take minutes
_PROFILERS: dict[str, dict[str, object]] = {
    "jemalloc": {"profiler": "jemalloc", "stacks": "python"},
    "jemalloc, `PYTHONMALLOC=malloc`": {"profiler": "jemalloc", "stacks": "python"},
    "sampler": {"profiler": "sampler"},
    "tracemalloc, 25 frames": {"profiler": "tracemalloc", "tracemalloc_frames": 25},
    "memray": {"profiler": "memray"},
}

Results = dict[tuple[str, float], dict[str, float]]


def measure(interpreter: Interpreter, sizes: Sequence[float], turns: int) -> Results:
    """Measure every profiler at every size; the exact ones at the smallest only."""
    results: Results = {}
    for title, settings in _PROFILERS.items():
        exact = settings["profiler"] in ("tracemalloc", "memray")
        if settings["profiler"] == "memray" and "memray" not in interpreter.versions:
            say("left out, since memray is not installed: dumps by memray")
            continue
        for size in (each for each in sizes if not exact or each <= _EXACT_UP_TO):
            say(f"dumps: {title}, {size:g} GB")
            request = {"task": "dump", "settings": settings, "size": int(size * GIGABYTE)}
            request |= {"turns": 1 if exact else turns, "helper": str(interpreter.helper)}
            try:
                results[title, size] = run(interpreter, request, _variables(interpreter, title))
            except ChildError as failed:
                say(f"failed: {title}, {size:g} GB: {failed}")
    return results


def _variables(interpreter: Interpreter, title: str) -> dict[str, str]:
    malloc = {"PYTHONMALLOC": "malloc"} if "PYTHONMALLOC" in title else {}
    return {**launched(interpreter, _PROFILERS[title]), **malloc}


def table(results: Results) -> Iterator[str]:
    """Yield a table in milliseconds."""
    titles = ["ms", "dump", "`prof.dump` alone", "ratio", "samples", "stacks", "MB"]
    titles += ["stall of malloc", "worst", "while computing", "stall of Python", "worst"]
    titles += ["while computing", "dump beside it"]
    yield from headings(titles)
    for (title, size), found in results.items():
        yield row([f"{title}, {size:g} GB", *_cells(found)])


def _cells(found: dict[str, float]) -> Iterator[str]:
    alone = found.get("jemalloc_alone")
    yield _ms(found["dump"])
    yield _ms(alone) if alone else ""
    yield f"{found['dump'] / alone:.2f}" if alone else ""
    yield f"{found['samples']:.0f}"
    yield f"{found['stacks']:.0f}"
    yield f"{found['bytes'] / 1e6:.2f}"
    for name in ("c", "python"):
        yield _ms(found[f"stall_{name}"])
        yield _ms(found[f"stall_{name}_worst"])
        yield f"{_ms(found[f'noise_{name}'])}, {_ms(found[f'noise_{name}_worst'])}"
    yield _ms(found["dump_watched_by_python"])


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
