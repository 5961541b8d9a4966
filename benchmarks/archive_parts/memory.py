"""The part `memory`: what an export adds to the host's resident memory, at its peak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from heap.tables import headings, row, say

from archive_parts import client, files, host
from archive_parts.host import Host
from archive_parts.took import Took

_QUERIES = {"tar.gz": client.GZIP, "tar.gz, again": client.GZIP, "tar.zst": client.ZSTD}


@dataclass(frozen=True)
class Added:
    """MB over what the host had before its first export, and over what before this one."""

    first: float
    this: float
    resident: float
    took: Took


Results = dict[str, tuple[float, Added]]
"""By title the MB that were exported, and what that added."""


def measure(folder: Path, sources: list[Path]) -> Results:
    """Export each of the folders `sources` from a new host, in every way."""
    found: Results = {}
    for source in sources:
        megabytes = files.size_of(source) / files.MEGABYTE
        with host.running(folder / f"memory-{source.name}", source) as running:
            client.ask(running)
            running.rest()
            before = running.status("VmRSS")
            for title, query in _QUERIES.items():
                say(f"memory: {title}, {megabytes:.0f} MB")
                found[f"{title}, {megabytes:.0f} MB"] = megabytes, _export(running, query, before)
    return found


def table(results: Results) -> Iterator[str]:
    """Yield one line for each export."""
    titles = ["MB", "added at the peak", "of it by this export", "resident after it"]
    yield from headings([*titles, "MB/s in", "CPU, ms per MB"])
    for title, (megabytes, added) in results.items():
        memory = [f"{each:.1f}" for each in (added.first, added.this, added.resident)]
        cpu = added.took.cpu * 1000 / megabytes
        yield row([title, *memory, f"{megabytes / added.took.seconds:.0f}", f"{cpu:.2f}"])


def _export(running: Host, query: str, before: int) -> Added:
    resident = running.status("VmRSS")
    running.forget_peak()
    took = client.download(running, query)
    peak = running.status("VmHWM")
    return Added(
        first=_megabytes(peak - before),
        this=_megabytes(peak - resident),
        resident=_megabytes(running.status("VmRSS")),
        took=took,
    )


def _megabytes(kilobytes: int) -> float:
    return kilobytes * 1024 / files.MEGABYTE
