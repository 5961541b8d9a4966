"""The part `throughput`: whole archives, beside those of the peers, by turns."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from heap.tables import headings, row, say

from archive_parts import client, files, host, peers
from archive_parts.host import Host
from archive_parts.peers import Peer
from archive_parts.took import Took


@dataclass(frozen=True)
class Results:
    """What each way took in each round; `megabytes` is what everybody read."""

    megabytes: float
    took: dict[str, list[Took]]
    peers: list[Peer]


def measure(folder: Path, source: Path, rounds: int) -> Results:
    """Let everybody pack the same files so often, after one round that does not count."""
    with host.running(folder / "throughput", source) as running:
        unpacked = _unpacked(running, folder / "unpacked")
        ways = {title: _of_host(make, running) for title, make in _OURS.items()}
        found = peers.installed()
        ways |= {peer.title: _of_peer(peer, unpacked) for peer in found}
        took: dict[str, list[Took]] = {title: [] for title in ways}
        for number in range(-1, rounds):
            say(f"throughput: round {number + 1} of {rounds}")
            for title, way in _turned(list(ways.items()), number):
                result = way()
                if number >= 0:
                    took[title].append(result)
    return Results(files.size_of(unpacked) / files.MEGABYTE, took, found)


def table(results: Results) -> Iterator[str]:
    """Yield one line for each way: medians, and the medians of the ratios of speed."""
    versus = [f"speed to {peer.title}" for peer in results.peers]
    yield from headings(["", "MB/s in", "CPU, ms per MB", "ratio", *versus])
    for title, took in results.took.items():
        speed = statistics.median(results.megabytes / each.seconds for each in took)
        cpu = statistics.median(each.cpu * 1000 / results.megabytes for each in took)
        ratio = results.megabytes * files.MEGABYTE / statistics.median(each.bytes for each in took)
        faster = [f"{_faster(took, results.took[peer.title]):.2f}" for peer in results.peers]
        yield row([title, f"{speed:.0f}", f"{cpu:.2f}", f"{ratio:.2f}", *faster])


def _faster(own: list[Took], peer: list[Took]) -> float:
    return statistics.median(b.seconds / a.seconds for a, b in zip(own, peer, strict=True))


def _turned(
    ways: list[tuple[str, Callable[[], Took]]], number: int
) -> list[tuple[str, Callable[[], Took]]]:
    turn = number % len(ways)
    return ways[turn:] + ways[:turn]


def _of_host(make: Callable[[Host], Took], running: Host) -> Callable[[], Took]:
    return lambda: make(running)


def _of_peer(peer: Peer, folder: Path) -> Callable[[], Took]:
    return lambda: peer.pack(folder)


def _first(running: Host) -> Took:
    running.forget_streams()
    return client.download(running)


def _again(running: Host) -> Took:
    if not running.kept_streams():
        client.download(running)
    return client.download(running)


def _unpacked(running: Host, folder: Path) -> Path:
    """Unpack an archive into `folder`, so that the peers pack the very same files."""
    folder.mkdir()
    archive = folder.with_suffix(".tar.gz")
    client.download(running, target=archive)
    subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True)
    archive.unlink()
    return folder


_OURS: dict[str, Callable[[Host], Took]] = {
    "**`GET /export`**": _first,
    "… again": _again,
    "… `?format=tar.zst`": lambda running: client.download(running, client.ZSTD),
}
