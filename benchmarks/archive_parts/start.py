"""The part `start`: how soon an archive begins to come."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from heap.tables import headings, row

from archive_parts import client, host
from archive_parts.client import Beginning

_FORMATS = {"tar.gz": client.GZIP, "tar.zst": client.ZSTD}

Results = dict[str, list[Beginning]]


def measure(folder: Path, source: Path, times: int) -> Results:
    """Ask so often for each kind of archive, and leave once its first file is there."""
    found: Results = {title: [] for title in _FORMATS}
    with host.running(folder / "start", source) as running:
        for number in range(-1, times):
            for title, query in _FORMATS.items():
                beginning = client.beginning(running, query)
                running.rest()
                if number >= 0:
                    found[title].append(beginning)
    return found


def table(results: Results) -> Iterator[str]:
    """Yield one line for each kind of archive."""
    yield from headings(["ms", "first byte", "longest", "first file, decoded", "longest"])
    for title, found in results.items():
        bytes_, entries = [b.first_byte for b in found], [b.first_entry for b in found]
        figures = [statistics.median(bytes_), max(bytes_), statistics.median(entries), max(entries)]
        yield row([title, *(f"{seconds * 1000:.1f}" for seconds in figures)])
