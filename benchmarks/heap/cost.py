"""The part `cost`: what each way costs each workload, in time, instructions and memory."""

from __future__ import annotations

import math
import os
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heap.environment import Interpreter
from heap.processes import ChildError, run, surroundings
from heap.tables import headings, row, say
from heap.ways import PLAIN, Way
from heap.workloads import NOT_IN_THE_MEANS, WORKLOADS

Results = dict[tuple[Way, str], list[dict[str, float]]]
"""By way and workload what each round showed; the plain way's rounds fit the others' by index."""

_COUNTED_PART = 4  # of the rounds of a workload, under valgrind, which is slow
_TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    interpreter: Interpreter
    ways: Sequence[Way]
    workloads: Sequence[str]
    part: float = 1.0  # of the rounds of each workload

    def installed(self) -> Iterator[Way]:
        """Yield the ways that can be had, telling which cannot."""
        for way in self.ways:
            if way.package and way.package not in self.interpreter.versions:
                say(f"left out, since {way.package} is not installed: {way.title}")
            else:
                yield way

    def request(self, way: Way, workload: str, part: float) -> dict[str, Any]:
        """Return what a child is to do."""
        rounds = math.ceil(WORKLOADS[workload][1] * self.part * part / way.slow)
        return {
            "task": "cost",
            "profiler": way.profiler,
            "workload": workload,
            "rounds": rounds,
            "warm_up": max(1, rounds // 8),
            "helper": str(self.interpreter.helper),
        }


# --- measuring -------------------------------------------------------------------------------


def measure_time(plan: Plan, rounds: int) -> Results:
    """Run every way of every workload `rounds` times, by turns. A slow way has fewer rounds."""
    ways = list(plan.installed())
    results: Results = {}
    for number in range(rounds):
        say(f"time: round {number + 1} of {rounds}")
        turn = number % len(ways)
        for workload in plan.workloads:
            for way in ways[turn:] + ways[:turn]:
                if number == 0 or way.slow < 4 or number % 3 == 0:
                    _run_once(plan, way, workload, results)
    return results


def _run_once(plan: Plan, way: Way, workload: str, results: Results) -> None:
    variables, options = surroundings(plan.interpreter, way)
    try:
        request = plan.request(way, workload, 1)
        figures = run(plan.interpreter, request, variables, options=options)
    except ChildError as failed:
        say(f"failed: {way.title}, {workload}: {failed}")
    else:
        results.setdefault((way, workload), []).append(figures)


def measure_instructions(plan: Plan) -> Results:
    """Count the instructions of every way of every workload, once, as many at a time as fit."""
    ways = [way for way in plan.installed() if way.countable]
    results: Results = {}

    def count(pair: tuple[Way, str]) -> None:
        way, workload = pair
        try:
            results[pair] = [_count_once(plan, way, workload)]
        except ChildError as failed:
            say(f"failed: {way.title}, {workload}: {failed}")

    pairs = [(way, workload) for workload in plan.workloads for way in ways]
    say(f"instructions: {len(pairs)} processes under valgrind")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(count, pairs))
    return results


def _count_once(plan: Plan, way: Way, workload: str) -> dict[str, float]:
    variables, options = surroundings(plan.interpreter, way)
    out = plan.interpreter.folder / f"{way.key}.{workload}.callgrind"
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "-q"]
    request = plan.request(way, workload, 1 / _COUNTED_PART)
    before = [*valgrind, f"--callgrind-out-file={out}"]
    figures = run(plan.interpreter, request, variables, before, options)
    figures["instructions"] = instructions_in(out) / request["rounds"]
    return figures


def instructions_in(profile: Path) -> int:
    """Return the number of instructions in a profile of callgrind's."""
    found = _TOTAL.search(profile.read_text(encoding="utf-8", errors="replace"))
    if not found:
        raise ChildError(f"{profile} has no total")
    return int(found[1])


# --- tables ----------------------------------------------------------------------------------


def ratio_table(results: Results, workloads: Sequence[str], what: str) -> Iterator[str]:
    """Yield a table of ratios to the plain way of the same round."""
    yield from headings(["", "mean", "worst", *_headings(workloads)])
    for way in _ways(results):
        ratios = {
            workload: _median(results, way, workload, lambda one, plain: one[what] / plain[what])
            for workload in workloads
            if (way, workload) in results and (PLAIN, workload) in results
        }
        meant = [ratio for workload, ratio in ratios.items() if workload != NOT_IN_THE_MEANS]
        if meant:
            overall = [f"{statistics.geometric_mean(meant):.3f}", f"{max(meant):.3f}"]
        else:
            overall = ["", ""]
        cells = [f"{ratios[each]:.3f}" if each in ratios else "" for each in workloads]
        yield row([way.title, *overall, *cells])


def difference_table(results: Results, workloads: Sequence[str], what: str) -> Iterator[str]:
    """Yield a table of differences in memory to the plain way, in MB."""
    yield from headings(["MB", "median", "worst", *_headings(workloads)])
    for way in _ways(results):
        found = {
            workload: _median(results, way, workload, _difference_of(what, plain=way is PLAIN))
            for workload in workloads
            if (way, workload) in results and (PLAIN, workload) in results
        }
        overall = [f"{statistics.median(found.values()):.1f}", f"{max(found.values()):.1f}"]
        cells = [f"{found[each]:.1f}" if each in found else "" for each in workloads]
        yield row([f"{way.title}, in all" if way is PLAIN else way.title, *overall, *cells])


def sample_table(results: Results, workloads: Sequence[str]) -> Iterator[str]:
    """Yield a table of samples per second of CPU, and of what our hooks say one takes."""
    yield from headings(["samples/s; µs each", *workloads])
    for way in _ways(results):
        if way.group != "active":
            continue
        cells = []
        for workload in workloads:
            rounds = results.get((way, workload), [])
            samples, sampling = (
                sum(one[each] for one in rounds) for each in ("samples", "sampling")
            )
            rate = samples / sum(one["cpu"] for one in rounds) if rounds else 0
            cells.append(f"{rate:.0f}; {sampling / samples * 1e6:.2f}" if samples else "")
        yield row([way.title, *cells])


def _difference_of(
    what: str, *, plain: bool
) -> Callable[[dict[str, float], dict[str, float]], float]:
    return lambda one, other: (one[what] - (0 if plain else other[what])) / 1e6


def _median(
    results: Results,
    way: Way,
    workload: str,
    compare: Callable[[dict[str, float], dict[str, float]], float],
) -> float:
    """Return the median over the rounds of `compare` with the plain way's."""
    own, plain = results[way, workload], results[PLAIN, workload]
    return statistics.median(compare(one, other) for one, other in zip(own, plain, strict=False))


def _ways(results: Results) -> list[Way]:
    return list(dict.fromkeys(way for way, _ in results))


def _headings(workloads: Sequence[str]) -> list[str]:
    return [f"({name})" if name == NOT_IN_THE_MEANS else name for name in workloads]
