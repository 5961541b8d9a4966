"""What diagnostics cost a service of several workers: idle, profiling and exporting in all.

    python benchmarks/workers.py [--workers 2,4] [--rounds 5] [--seconds 4] [--without-peers]

The host is a shop in Flask (`workers_parts/shop.py`) under gunicorn, with gthread workers of
four threads. It runs in every way at once, each with workers of its own, and the ways take
turns in having to answer, two connections per worker, while the others sleep; each round in
another order. The table has medians, and the medians of the ratios to the plain host of the
same round. CPU is that of the master and all workers, our threads included. Memory is what they
have after each round, what they share counted once.

The peers profile in each worker, started where it imports the shop. They are installed into an
environment of their own, with the same versions of what the host is made of.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from archive import busy
from heap.environment import CHECKOUT
from heap.tables import say, show
from workers_parts import load, service
from workers_parts.ways import OTHERS, OURS, Way, environment_of_peers


def main() -> None:
    """Measure with each number of workers, and print a table for each."""
    arguments = parse_arguments()
    ways = dict.fromkeys(OURS, sys.executable)
    if not arguments.without_peers:
        uv = CHECKOUT / ".tools" / "bin" / "uv"
        python = environment_of_peers(arguments.environment, uv)
        ways |= dict.fromkeys(OTHERS, python)
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores")
    for workers in arguments.workers:
        busy_before = busy()
        with tempfile.TemporaryDirectory(prefix="workers-") as folder:
            found = measure(ways, workers, Path(folder), arguments)
        title = f"{workers} workers; before it the machine was busy by {busy_before:.0%}"
        show(title, load.table(found))


def measure(
    ways: dict[Way, str], workers: int, folder: Path, arguments: argparse.Namespace
) -> dict[Way, list[load.Figures]]:
    """Run all ways side by side, and let them take turns."""
    found: dict[Way, list[load.Figures]] = {way: [] for way in ways}
    with contextlib.ExitStack() as stack:
        hosts = {
            way: stack.enter_context(service.running(way, workers, folder / str(number), python))
            for number, (way, python) in enumerate(ways.items())
        }
        for host in hosts.values():  # as warm as all will be
            load.measure(host, OURS[0], workers, 1)
        for number in range(arguments.rounds):
            turn = number % len(ways)
            for way in [*ways][turn:] + [*ways][:turn]:
                say(f"{workers} workers, round {number + 1}: {way.title}")
                found[way].append(load.measure(hosts[way], way, workers, arguments.seconds))
    return found


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--workers", type=numbers, default=[2, 4], help="how many, such as 2,4")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of load, each")
    parser.add_argument("--without-peers", action="store_true")
    place = CHECKOUT / ".bench" / "workers"
    parser.add_argument("--environment", type=Path, default=place, help="where the peers' is made")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    """Return numbers, separated by commas."""
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    if sys.platform != "linux" or shutil.which("wrk") is None:
        sys.exit("this needs Linux, and wrk")
    main()
