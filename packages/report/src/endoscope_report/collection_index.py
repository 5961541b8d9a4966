"""What came of collecting archives: `index.json` for a program, `index.txt` for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from endoscope.saving import written_whole
from endoscope_profiles.amounts import size
from endoscope_report.tables import Section, plain_lines

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came from one service; None is what is not known.

    `pid` is that of the process that made the archive, `processes` how many it is of.
    `path` is that of the archive, in the folder of the index, `sha256` is over it as it lies there;
    `members` is how many files it has, `failures` how many more it should have whole. `verdict`
    is the word of `endoscope verify --json`. Without an `error` the archive is there and whole.
    """

    target: str
    service_name: str | None = None
    service_version: str | None = None
    pid: int | None = None
    processes: int | None = None
    path: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    seconds: float = 0.0
    attempts: int = 0
    verdict: str | None = None
    members: int | None = None
    failures: int | None = None
    error: str | None = None
    remedy: str | None = None

    @property
    def line(self) -> str:
        """What is told of it in one line."""
        if self.error is not None:
            return f"{self.target}: {self.error}. {self.remedy}"
        failures = f", {self.failures} failed or cut" if self.failures else ""
        return f"{self.target}: {self.path} ({size(self.bytes or 0)}, whole{failures})"


def document(rows: Sequence[Row], query: Mapping[str, str]) -> dict[str, Any]:
    """Return what `index.json` says. `query` is what the services were asked for."""
    return {
        "schema": SCHEMA,
        "made": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "asked_for": dict(query),
        "targets": [asdict(row) for row in rows],
    }


def write(folder: Path, rows: Sequence[Row], query: Mapping[str, str]) -> dict[str, Any]:
    """Write `index.json` and `index.txt`, each whole; return what the former says."""
    told = document(rows, query)
    contents = {
        "index.json": json.dumps(told, indent=2) + "\n",
        "index.txt": "\n".join(_lines(told["made"], rows)) + "\n",
    }
    for name, text in contents.items():
        with written_whole(folder / name) as write_piece:
            write_piece(text.encode())
    return told


def _lines(made: str, rows: Sequence[Row]) -> Iterator[str]:
    came = [row for row in rows if row.error is None]
    yield f"{len(came)} of {len(rows)} archives came whole; collected {made}"
    yield ""
    head = ("target", "service", "processes", "bytes", "seconds", "files", "archive")
    yield from plain_lines(Section("Targets", head, [*map(_cells, rows)]))
    failed = [(row.target, row.error or "", row.remedy or "") for row in rows if row.error]
    if failed:
        yield ""
        yield from plain_lines(Section("Failed", (), failed))
    yield ""
    yield "SHA-256 (to check them all: grep -E '^[0-9a-f]{64}  ' index.txt | sha256sum -c)"
    for row in rows:
        if row.sha256:
            yield f"{row.sha256}  {row.path}"


def _cells(row: Row) -> tuple[str, ...]:
    service = f"{row.service_name or '-'} {row.service_version or ''}".rstrip()
    numbers = (
        f"{row.processes or 0:,}",
        f"{row.bytes or 0:,}",
        f"{row.seconds:.1f}",
        f"{row.members or 0:,}",
    )
    return (row.target, service, *numbers, row.path or "-")
