"""The part `masking`: how fast secrets are looked for in logs, in this process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from heap.tables import headings, row

from archive_parts import files, logs
from endoscope_export.redaction import Rules

_BYTES = 8 * files.MEGABYTE
_BLOCK_BYTES = 64 * 1024  # as an export reads
_SECRETS = ("k8fZ0pQw3nVx7RtYb2LmC5dH",)

Results = dict[str, list[float]]


def measure(rounds: int) -> Results:
    """Return the seconds per megabyte of each kind of log, of each round."""
    texts = {kind: logs.text(kind, _BYTES) for kind in logs.KINDS}
    rules = Rules.of(_SECRETS, {})
    speeds: Results = {kind: [] for kind in texts}
    for _ in range(rounds):
        for kind, text in texts.items():
            began = time.perf_counter()
            _mask(rules, text)
            speeds[kind].append(len(text) / files.MEGABYTE / (time.perf_counter() - began))
    return speeds


def table(results: Results) -> Iterator[str]:
    """Yield one line for each kind of log."""
    yield from headings(["log", "MB/s", "slowest", "fastest"])
    for kind, speeds in results.items():
        figures = (statistics.median(speeds), min(speeds), max(speeds))
        yield row([kind, *(f"{figure:.0f}" for figure in figures)])


def _mask(rules: Rules, text: bytes) -> None:
    redactor = rules.redactor()
    for offset in range(0, len(text), _BLOCK_BYTES):
        redactor.feed(text[offset : offset + _BLOCK_BYTES])
    redactor.finish()
