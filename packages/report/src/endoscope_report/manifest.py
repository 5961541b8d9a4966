"""What the manifest of an archive says, believed as far as its shape allows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from endoscope.errors import EndoscopeError
from endoscope_profiles.printable import printable
from endoscope_report.shape import Each, Named, Optional, fault
from endoscope_report.tar_reader import Member

MANIFEST_JSON = "manifest.json"
MANIFEST_TEXT = "manifest.txt"
SCHEMA = 1

MOST_BYTES = 64 * 1024 * 1024
# Each takes up to 100 bytes of memory. A row of an honest manifest has fifteen of them.
_MOST_VALUES = 2_000_000
_PROCESS_FAILED = "process_failed"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ManifestError(EndoscopeError):
    """`manifest.json` is not what an archive of Endoscope's has."""

    code = "manifest"


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A file that is in the archive. `truncated`: its own bytes ended early.

    `process` is the id of the one that it is of, in an archive of all processes of a service; None
    for what stands once, and as in all rows in an archive of one.
    """

    path: str
    bytes: int
    sha256: str
    group: str
    truncated: bool
    process: int | None = None


@dataclass(frozen=True, slots=True)
class FailureRow:
    """What should be in the archive and is not, or not whole.

    `path` is None for a plugin, or by the code `process_failed` for a process.
    """

    plugin: str
    path: str | None
    code: str
    message: str
    process: int | None = None

    @property
    def what(self) -> str:
        """What has failed, for a person."""
        if self.path is not None:
            return self.path
        if self.code == _PROCESS_FAILED:
            return f"process {self.process}"
        return f"plugin {self.plugin}" + (f" of process {self.process}" if self.process else "")


@dataclass(frozen=True, slots=True)
class LeftOutRow:
    """A file that was not asked for: its group was not, or it is older than what was."""

    path: str
    group: str
    reason: str
    process: int | None = None


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process that an archive of all is made of; `started` is RFC 3339."""

    pid: int
    started: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest whose shape was checked. `document` is all of it, as JSON has it.

    `processes` is empty if it is of one process.
    """

    document: Mapping[str, Any]
    members: tuple[MemberRow, ...]
    failures: tuple[FailureRow, ...]
    left_out: tuple[LeftOutRow, ...]
    processes: tuple[ProcessRow, ...] = ()

    @property
    def cut(self) -> tuple[MemberRow, ...]:
        """The members that are not whole."""
        return tuple(row for row in self.members if row.truncated)

    @property
    def failed(self) -> tuple[FailureRow, ...]:
        """What is not there at all."""
        cut = {row.path for row in self.cut}
        return tuple(row for row in self.failures if row.path not in cut)

    def gaps(self) -> str:
        """Say how much is not in the archive; empty if everything is."""
        counts = {
            "failed": len(self.failed),
            "cut": len(self.cut),
            "not asked for": len(self.left_out),
        }
        return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def read(member: Member, content: Iterable[bytes]) -> Manifest:
    """Read `manifest.json` out of an archive. Raises `ManifestError`."""
    if member.size > MOST_BYTES:
        raise ManifestError(
            f"manifest.json has {member.size:,} bytes, and not more than {MOST_BYTES:,} are read",
            remedy="It is no archive of Endoscope's: do not unpack it.",
            code="too_large",
        )
    return parse(b"".join(content))


def parse(data: bytes) -> Manifest:
    """Read `manifest.json`. Raises `ManifestError` for what cannot be one."""
    document = _document(data)
    if isinstance(document, dict) and document.get("schema") != SCHEMA:
        raise ManifestError(
            f"manifest.json is of another schema than {SCHEMA}",
            remedy="Was the archive made by a newer Endoscope? pip install -U endoscope-report",
        )
    problem = fault(document, _SHAPE, "manifest.json") or _unusable(document)
    if problem:
        raise _error(problem)
    return Manifest(
        document,
        tuple(_member(row) for row in document["members"]),
        tuple(_failure(row) for row in document["failures"]),
        tuple(
            LeftOutRow(row["path"], row["group"], row.get("reason", "group"), row.get("process"))
            for row in document["left_out"]
        ),
        tuple(
            ProcessRow(row["pid"], row["process_started"])
            for row in document.get("processes") or ()
        ),
    )


def _document(data: bytes) -> Any:
    if sum(map(data.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise _error(f"manifest.json has more than {_MOST_VALUES:,} values")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise _error(f"manifest.json is no JSON: {error}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _unusable(document: Mapping[str, Any]) -> str:
    """Say what is of the right shape and cannot be meant; empty if nothing is."""
    if not document["complete"]:
        return "manifest.json says that it is not complete"
    rows = document["members"]
    for row in rows:
        if not 0 <= row["bytes"] < 2**63 or not _SHA256.fullmatch(row["sha256"]):
            return f"manifest.json has no size or SHA-256 for {printable(row['path'])}"
    path, count = next(iter(Counter(row["path"] for row in rows).most_common(1)), ("", 0))
    return f"manifest.json names {printable(path)} {count} times" if count > 1 else ""


def _error(message: str) -> ManifestError:
    return ManifestError(message, remedy="Fetch the archive again.")


def _member(row: Mapping[str, Any]) -> MemberRow:
    return MemberRow(
        row["path"],
        row["bytes"],
        row["sha256"],
        row["group"],
        row["truncated"],
        row.get("process"),
    )


def _failure(row: Mapping[str, Any]) -> FailureRow:
    return FailureRow(row["plugin"], row["path"], row["code"], row["message"], row.get("process"))


_WORDS = Each(str)
_PROCESS = Optional(int)
_COUNTS = Optional(Named(int))
_SHAPE = {
    "schema": int,
    "complete": bool,
    "made": str,
    "timestamp": int,
    "service_name": str,
    "service_version": str,
    "endoscope_version": str,
    "python_version": str,
    "platform": str,
    "pid": int,
    "uptime_seconds": (int, float),
    "output_directory": str,
    "redactions": _COUNTS,
    "selection": {
        "only": Optional(_WORDS),
        "without": _WORDS,
        "since": Optional((str, type(None))),
    },
    "processes": Optional(Each({"pid": int, "process_started": str})),
    "plugins": Each(
        {
            "name": str,
            "version": str,
            "seconds": (int, float),
            "timed_out": bool,
            "disabled": bool,
            "failures": Each({"hook": str, "error": str}),
        }
    ),
    "entries": Each(
        {
            "plugin": str,
            "section": str,
            "name": str,
            "value": (str, int, float, bool, type(None)),
            "process": _PROCESS,
        }
    ),
    "members": Each(
        {
            "path": str,
            "bytes": int,
            "sha256": str,
            "plugin": str,
            "group": str,
            "truncated": bool,
            "content": Optional(str),
            "redactions": _COUNTS,
            "process": _PROCESS,
        }
    ),
    "failures": Each(
        {
            "plugin": str,
            "path": (str, type(None)),
            "code": str,
            "message": str,
            "process": _PROCESS,
        }
    ),
    "left_out": Each(
        {
            "path": str,
            "plugin": str,
            "group": str,
            "reason": Optional(str),
            "process": _PROCESS,
        }
    ),
}
