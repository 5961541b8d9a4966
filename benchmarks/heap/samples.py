"""The part `sample`: what one sample costs, by profiler and depth of the stack."""

from __future__ import annotations

from collections.abc import Iterator

from heap.environment import Interpreter
from heap.processes import ChildError, launched, run
from heap.tables import headings, row, say

DEPTHS = (5, 30, 100)
# A sample for most of the blocks: as many per second as there can be.
_SMALL, _LARGE = 432, 4096
_PROFILERS: dict[str, tuple[dict[str, object], int]] = {
    "sampler": ({"profiler": "sampler", "overhead_budget_percent": 0}, _SMALL),
    "jemalloc, Python stacks": ({"profiler": "jemalloc", "stacks": "python"}, _LARGE),
    "jemalloc, mixed stacks": ({"profiler": "jemalloc", "stacks": "mixed"}, _LARGE),
    "jemalloc, native stacks": ({"profiler": "jemalloc", "stacks": "native"}, _LARGE),
}

Results = dict[tuple[str, int], dict[str, float]]


def measure(interpreter: Interpreter, turns: int) -> Results:
    """Measure every profiler at every depth."""
    results: Results = {}
    for title, (settings, size) in _PROFILERS.items():
        say(f"one sample: {title}")
        chosen = {**settings, "sample_interval_bytes": 1 << (size.bit_length() - 1)}
        for depth in DEPTHS:
            request = {"task": "sample", "settings": chosen, "size": size, "depth": depth}
            request |= {"blocks": 40000, "turns": turns}
            try:
                results[title, depth] = run(interpreter, request, launched(interpreter, chosen))
            except ChildError as failed:
                say(f"failed: {title} at {depth} frames: {failed}")
    return results


def table(results: Results) -> Iterator[str]:
    """Yield a table: microseconds per sample, whole, and in our hooks alone."""
    yield from headings(["µs per sample (in our hooks)", *(f"{depth} frames" for depth in DEPTHS)])
    for title in _PROFILERS:
        found = [results.get((title, depth)) for depth in DEPTHS]
        yield row([title, *(_cell(each) if each else "" for each in found)])


def _cell(figures: dict[str, float]) -> str:
    hooks = f" ({figures['hooks'] / 1000:.2f})" if figures["hooks"] else ""
    return f"{figures['whole'] / 1000:.2f}{hooks}"
