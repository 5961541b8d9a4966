"""What an archive holds, what it does not, and why: the facts, and their JSON form."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from endoscope import giving_way
from endoscope_export.contributor import Contributor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from endoscope import HostIdentity, ManifestEntry, PluginFailure, PluginReport
    from endoscope_export.selection import Selection

PROCESS_FAILED = "process_failed"
"""The code of what failed because a process has ended, or does not answer."""

SCHEMA = 1
"""Version of `manifest.json`; `docs/manifest.schema.json` describes it."""

Value = str | int | float | bool | None


class HasProcess(Protocol):
    """A row that says whose it is."""

    @property
    def process(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A file of the archive.

    `modified` is RFC 3339, None for what was made for the archive. `content` says whether it
    is `text`, in which secrets were masked, so often by which rule as `redactions` tells, or
    `binary`, which is as it was. `truncated` says that a part is missing: of text it is not
    there, of a binary it is zeros. `process` is the id of the one that it is of, None for what
    stands once in the archive, as in all other rows.
    """

    path: str
    bytes: int
    sha256: str
    modified: str | None
    plugin: str
    group: str
    seconds: float
    truncated: bool
    content: str
    redactions: Mapping[str, int]
    process: int | None = None


@dataclass(frozen=True, slots=True)
class FailureRow:
    """Something that should have been in the archive and is not, or not whole.

    `path` is None where a whole plugin failed, or by the code `process_failed` a whole process;
    `code` is one word for a program.
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
        if self.code == PROCESS_FAILED:
            return f"process {self.process}"
        return f"plugin {Contributor(self.plugin, self.process)}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that the request did not ask for: not its group, or it is `older`."""

    path: str
    plugin: str
    group: str
    reason: Literal["group", "older"] = "group"
    process: int | None = None


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One fact that a plugin told."""

    plugin: str
    section: str
    name: str
    value: Value
    process: int | None = None


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process that an archive of all is made of. `started` is in Unix seconds."""

    pid: int
    started: float


@dataclass(frozen=True, slots=True)
class PluginRow:
    """An installed plugin, and how long it took of its time limit for this archive."""

    report: PluginReport
    seconds: float
    timed_out: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that is known of one archive. `made` is in Unix seconds.

    `processes` is empty if it is of one process, which `host` names.
    """

    made: float
    host: HostIdentity
    selection: Selection
    plugins: tuple[PluginRow, ...] = ()
    entries: tuple[EntryRow, ...] = ()
    members: tuple[MemberRow, ...] = ()
    failures: tuple[FailureRow, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    processes: tuple[ProcessRow, ...] = ()

    @property
    def redactions(self) -> dict[str, int]:
        """How often each rule has masked something, in all files together."""
        return in_all(row.redactions for row in self.members)


def in_all(redactions: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up, by rule, how often something was masked."""
    counts: Counter[str] = Counter()
    for each in redactions:
        counts.update(each)
    return dict(sorted(counts.items()))


def hook_failed(failure: PluginFailure, process: int | None = None) -> FailureRow:
    """Return the row for a plugin's hook that has failed."""
    code = "timed_out" if failure.timed_out else "hook_failed"
    return FailureRow(failure.plugin, None, code, failure.error, process)


def entry_row(
    plugin: str, entry: ManifestEntry, process: int | None = None
) -> EntryRow | FailureRow:
    """Return a plugin's fact, or a failure if it is of a type that no manifest can hold."""
    named = isinstance(entry.section, str) and isinstance(entry.name, str)
    if named and isinstance(entry.value, Value) and _is_json(entry.value):
        return EntryRow(plugin, entry.section, entry.name, entry.value, process)
    kinds = ", ".join(type(part).__name__ for part in (entry.section, entry.name, entry.value))
    return FailureRow(plugin, None, "wrong_type", f"a manifest entry made of ({kinds})", process)


def _is_json(value: Value) -> bool:
    """Say whether JSON has a word for it: not for NaN, nor for integers past all measure."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def rfc3339(seconds: float) -> str:
    """Return Unix seconds as RFC 3339 in UTC. Past the year 9999: the last moment in it."""
    try:
        moment = datetime.fromtimestamp(int(seconds), UTC)
    except (OSError, OverflowError, ValueError):
        moment = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def as_json(manifest: Manifest) -> bytes:
    r"""Return `manifest.json`.

    It is pure ASCII: a byte of a path that is not UTF-8 stands there as a lone surrogate
    from `\udc80` on, as Python's `surrogateescape` has it.
    """
    tokens = json.JSONEncoder(indent=2, allow_nan=False).iterencode(_document(manifest))
    return "".join((*giving_way(tokens, 1024), "\n")).encode("ascii")


def _document(manifest: Manifest) -> dict[str, Any]:
    host = manifest.host
    return {
        "schema": SCHEMA,
        "complete": True,
        "made": rfc3339(manifest.made),
        "timestamp": int(manifest.made),
        "service_name": host.service_name,
        "service_version": host.service_version,
        "endoscope_version": host.endoscope_version,
        "python_version": host.python_version,
        "platform": host.platform,
        "pid": host.pid,
        "uptime_seconds": uptime(manifest),
        "output_directory": str(host.output_directory),
        "selection": selection_document(manifest.selection),
        "processes": processes_document(manifest.processes, manifest.members, manifest.failures),
        "plugins": [_plugin(row) for row in manifest.plugins],
        "entries": [asdict(row) for row in manifest.entries],
        "members": [
            asdict(row) | {"seconds": round(row.seconds, 6)} for row in giving_way(manifest.members)
        ],
        "failures": [asdict(row) for row in manifest.failures],
        "redactions": manifest.redactions,
        "left_out": [asdict(row) for row in manifest.left_out],
    }


def processes_document(
    processes: Iterable[ProcessRow],
    members: Iterable[HasProcess],
    failures: Iterable[HasProcess],
) -> list[dict[str, Any]]:
    """Return, for JSON, which processes there are, and how many of these rows are of each."""
    files = Counter(row.process for row in members)
    failed = Counter(row.process for row in failures)
    return [
        {
            "pid": row.pid,
            "process_started": rfc3339(row.started),
            "members": files[row.pid],
            "failures": failed[row.pid],
        }
        for row in processes
    ]


def selection_document(selection: Selection) -> dict[str, Any]:
    """Return, for JSON, what was asked for."""
    return {
        "only": None if selection.only is None else sorted(selection.only),
        "without": sorted(selection.without),
        "since": None if selection.since is None else rfc3339(selection.since),
    }


def uptime(manifest: Manifest) -> float:
    """Return for how many seconds the process had been running."""
    return round(max(0.0, manifest.made - manifest.host.process_started), 3)


def _plugin(row: PluginRow) -> dict[str, Any]:
    report = row.report
    return {
        "name": report.name,
        "distribution": report.distribution,
        "version": report.version,
        "hooks": list(report.hooks),
        "disabled": report.disabled,
        "seconds": round(row.seconds, 6),
        "timed_out": row.timed_out,
        "failures": [
            {"hook": failure.hook, "error": failure.error, "timed_out": failure.timed_out}
            for failure in report.failures
        ],
    }
