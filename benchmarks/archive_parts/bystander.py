"""The part `host`: what the host notices of an export: its event loop, its requests."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from heap.tables import headings, row, say

from archive_parts import client, host, peers
from archive_parts.host import Delays, Host

_SECONDS = 3.0
_CONNECTIONS = 8
_NICE = ("nice", "-n10")  # as the threads of an export are

Work = Callable[[], object]


@dataclass(frozen=True)
class Noticed:
    """How late the idle host's loop was; requests per second as a ratio to those before."""

    delays: Delays
    ratio: float


Results = dict[str, list[Noticed]]


def measure(folder: Path, source: Path, rounds: int) -> Results:
    """Watch the host while nothing happens, while it exports, and beside a peer that packs."""
    found: Results = {}
    with host.running(folder / "host", source) as running:
        works = _works(running, source)
        for number in range(rounds):
            for title, work in works.items():
                say(f"host: {title or 'nothing'}, round {number + 1} of {rounds}")
                noticed = Noticed(_delays(running, work), _ratio(running, work))
                found.setdefault(title, []).append(noticed)
    return found


def table(results: Results) -> Iterator[str]:
    """Yield one line for each thing that goes on meanwhile: medians of the rounds."""
    titles = ["meanwhile", "loop's delay, ms: p50", "p99", "longest", "worst"]
    yield from headings([*titles, "requests/s, ratio", "worst"])
    for title, found in results.items():
        delays = [each.delays for each in found]
        longest = [each.longest for each in delays]
        figures = [
            statistics.median(each.median for each in delays),
            statistics.median(each.p99 for each in delays),
            statistics.median(longest),
            max(longest),
            statistics.median(each.ratio for each in found),
            min(each.ratio for each in found),
        ]
        yield row([title, *(f"{figure:.2f}" for figure in figures)])


def _works(running: Host, source: Path) -> dict[str, Work]:
    def first() -> None:
        running.forget_streams()
        client.fetch(running)

    works: dict[str, Work] = {
        "nothing": lambda: time.sleep(0.1),
        "`GET /export`": first,
        "… again": lambda: client.fetch(running),
        "… `?format=tar.zst`": lambda: client.fetch(running, client.ZSTD),
    }
    for peer in peers.installed():
        works[f"{peer.title}, at nice 10"] = lambda peer=peer: peer.pack(source, _NICE)  # type: ignore[misc]
    return works


def _delays(running: Host, work: Work) -> Delays:
    with _going_on(work):
        running.watch()
        time.sleep(_SECONDS)
        return running.delays()


def _ratio(running: Host, work: Work) -> float:
    before = _requests_per_second(running)
    with _going_on(work):
        during = _requests_per_second(running)
    after = _requests_per_second(running)
    return during / ((before + after) / 2)


def _requests_per_second(running: Host) -> float:
    arguments = [str(running.own_port), str(_CONNECTIONS), str(_SECONDS)]
    command = [sys.executable, "-m", "archive_parts.load", *arguments]
    place = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
    return float(done.stdout)


@contextlib.contextmanager
def _going_on(work: Work) -> Iterator[None]:
    """Do the work again and again, until the body is done and the work that runs then, too."""
    stopping = threading.Event()

    def repeat() -> None:
        while not stopping.is_set():
            work()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
