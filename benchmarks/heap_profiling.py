"""What profiling the heap costs, beside what others take for it: time, memory, stalls.

    python benchmarks/heap_profiling.py [--quick] [--part cost|sample|dump] [--instructions]

Three parts. `cost` runs eight workloads under plain CPython, with Endoscope's profilers
loaded but idle, with each of them active at its default interval of 512 KiB, and with
tracemalloc, memray, scalene and ddtrace: CPU time (medians of the ratios to the plain run of
the same round, the ways taking turns) and memory; with `--instructions` also the instructions
under valgrind, which do not vary. `sample` tells what one sample costs at several depths,
`dump` how long a dump takes, and how long it holds up other threads.

Every process is new. They run in a virtual environment of their own, which is made on demand
in `.bench/` (with uv, from .tools/ or the path; `--environment` for another place) out of
Endoscope as it lies in this checkout, the libraries of the workloads and the other profilers.
`--python` names an interpreter that has all of this; which profiler it has not is left out.
A C compiler is needed, Debian's libjemalloc2, and for `--instructions` valgrind.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from heap import cost, dumps, environment, samples
from heap.environment import Interpreter
from heap.tables import say, show
from heap.ways import WAYS, named
from heap.workloads import WORKLOADS

PARTS = ("cost", "sample", "dump")


def main() -> None:
    """Measure what is asked for, and print the tables."""
    arguments = parse_arguments()
    python = arguments.python or environment.make(arguments.environment)
    with folder_of_the_run(arguments.keep) as folder:
        interpreter = Interpreter(python, folder)
        introduce(interpreter)
        if "cost" in arguments.part:
            measure_cost(interpreter, arguments)
        if "sample" in arguments.part:
            sampled = samples.measure(interpreter, 3 if arguments.quick else 7)
            show("One sample", samples.table(sampled))
        if "dump" in arguments.part:
            sizes = dumps.SIZES[:2] if arguments.quick else dumps.SIZES
            dumped = dumps.measure(interpreter, sizes, 5 if arguments.quick else 15)
            show("Dumps", dumps.table(dumped))


@contextmanager
def folder_of_the_run(keep: Path | None) -> Iterator[Path]:
    """Yield the folder that is to be kept, or one that is deleted afterwards."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="heap-profiling-") as folder:
            yield Path(folder)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep


def introduce(interpreter: Interpreter) -> None:
    """Print what is measured, and where."""
    versions = ", ".join(f"{name} {version}" for name, version in interpreter.versions.items())
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores; {versions}", flush=True)


def measure_cost(interpreter: Interpreter, arguments: argparse.Namespace) -> None:
    """Do the part `cost`."""
    workloads = arguments.workloads
    plan = cost.Plan(
        interpreter, named(arguments.configurations), workloads, 0.25 if arguments.quick else 1
    )
    if arguments.instructions:
        counted = cost.measure_instructions(plan)
        title = "Instructions, as ratios to plain CPython"
        show(title, cost.ratio_table(counted, workloads, "instructions"))
    if arguments.rounds:
        timed = cost.measure_time(plan, arguments.rounds)
        title = "CPU time, as ratios to plain CPython"
        show(title, cost.ratio_table(timed, workloads, "cpu"))
        title = "Resident memory in the end, as differences to plain CPython"
        show(title, cost.difference_table(timed, workloads, "resident"))
        title = "Resident memory at its peak, likewise"
        show(title, cost.difference_table(timed, workloads, "peak"))
        show("Samples", cost.sample_table(timed, workloads))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="little of everything: 3 minutes")
    parser.add_argument("--part", type=one_of(PARTS), default=PARTS, help="such as cost,dump")
    parser.add_argument("--rounds", type=int, help="of measuring time (7, quick: 1); 0: none")
    parser.add_argument("--instructions", action="store_true", help="count them under valgrind")
    names = list(WORKLOADS)
    parser.add_argument("--workloads", type=one_of(names), default=names, help=", ".join(names))
    keys = [way.key for way in WAYS]
    parser.add_argument("--configurations", type=one_of(keys), help=", ".join(keys))
    parser.add_argument("--python", help="an interpreter that has everything")
    place = environment.CHECKOUT / ".bench"
    parser.add_argument("--environment", type=Path, default=place, help="where to make one")
    keep = "a folder for what each process found, and valgrind's profiles"
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help=keep)
    arguments = parser.parse_args()
    if arguments.rounds is None:
        arguments.rounds = 1 if arguments.quick else 7
    if arguments.configurations is None:
        groups = {"idle", "active"} if arguments.quick else {"idle", "active", "peer"}
        arguments.configurations = [way.key for way in WAYS if way.group in groups]
    return arguments


class one_of:  # noqa: N801  it reads as a function where it is used
    """Reads a list with commas in it, of which each must be one of `choices`."""

    def __init__(self, choices: Sequence[str]) -> None:
        self._choices = choices

    def __call__(self, text: str) -> list[str]:
        """Return the list."""
        given = text.split(",")
        if unknown := [each for each in given if each not in self._choices]:
            raise argparse.ArgumentTypeError(f"{unknown[0]}: not one of {', '.join(self._choices)}")
        return given


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit("this needs Linux")
    say(__doc__.partition("\n")[0] if __doc__ else "")
    main()
