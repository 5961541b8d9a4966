"""Which members an archive has, and in which order: decided before the first byte."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from endoscope import giving_way
from endoscope_export.contributor import Contributor
from endoscope_export.manifest import PROCESS_FAILED, FailureRow, LeftOut, hook_failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from endoscope import ArchiveMember
    from endoscope_export.processes import Told
    from endoscope_export.selection import Selection

EXPORT = "export"
"""The name under which this plugin's own members stand in the manifest."""

PROCESSES = "processes"
"""The folder that has one for each process, in an archive of all."""

MANIFEST_TEXT = "manifest.txt"
MANIFEST_JSON = "manifest.json"

# What Linux takes for one name and for a whole path. A longer one could not be unpacked.
_NAME_BYTES = 255
_PATH_BYTES = 4095


class Stage(enum.IntEnum):
    """When a member is sent.

    What is small and at hand comes first, so that the client has something at once; what
    describes this moment comes before what lies on the disk, and that before what takes long.
    """

    AT_HAND = 0
    CALLED = 1
    FILE = 2
    SLOW = 3
    LAST = 4


@dataclass(frozen=True, slots=True)
class PlannedMember:
    """A member that will be in the archive if its source gives anything.

    `path` is final. `source` is whatever the plugin put there, still unchecked. `process` is whose
    it is, None for what stands once in the archive; `is_other`: another one than this, which is
    to be asked for it.
    """

    path: str
    source: object
    group: str
    plugin: str
    stage: Stage
    verbatim: bool = False
    process: int | None = None
    is_other: bool = False

    @property
    def contributor(self) -> Contributor:
        """Whose time it takes."""
        return Contributor(self.plugin, self.process if self.is_other else None)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an archive is going to hold, and what is known already not to be in it.

    `spent` is the time in seconds that each contributor has used of its limit.
    """

    members: tuple[PlannedMember, ...]
    left_out: tuple[LeftOut, ...] = ()
    failures: tuple[FailureRow, ...] = ()
    spent: dict[Contributor, float] = field(default_factory=dict)


def known_groups(told: Iterable[Told[ArchiveMember]]) -> frozenset[str]:
    """Return the groups of plugins that can be asked for.

    Each plugin's name is one even if it has no members at the moment, so that asking for
    the dumps of a process that has none yet is no mistake.
    """
    groups = set()
    for answer in (answer for each in told for answer in each.answers):
        groups.add(answer.plugin)
        groups.update(_group(answer.plugin, member) for member in answer.items)
    return frozenset(groups)


def plan(
    own: Iterable[PlannedMember], told: Sequence[Told[ArchiveMember]], selection: Selection
) -> Plan:
    """Choose and order the members: `own` ones of export, then what the plugins answered.

    Where two claim one path the first keeps it. The order is by stage, then by process, then by
    path; what stands once comes before what is of a process.
    """
    claims, failures = _Claims(), list(_failures(told))
    members, left_out = [], []
    for member in giving_way((*own, *_contributed(told))):
        if not selection.takes(member.group):
            left_out.append(
                LeftOut(member.path, member.plugin, member.group, process=member.process)
            )
        elif failure := unusable(member) or claims.refuse(member):
            failures.append(failure)
        else:
            members.append(member)
    return Plan(
        members=tuple(sorted(members, key=_order)),
        left_out=tuple(left_out),
        failures=tuple(failures),
        spent={
            each.contributor(answer.plugin): answer.seconds
            for each in told
            for answer in each.answers
        },
    )


def _order(member: PlannedMember) -> tuple[Stage, int, bytes]:
    return (member.stage, member.process or 0, os.fsencode(member.path))


def _folder(plugin: str, process: int | None) -> str:
    return f"{plugin}/" if process is None else f"{PROCESSES}/{process}/{plugin}/"


def unusable(member: PlannedMember) -> FailureRow | None:
    """Return why a member cannot be in any archive, or None.

    Core has checked contributed paths before; here is the last place before they are
    written where somebody unpacks them.
    """
    problem, folder = _unusable_path(member.path), _folder(member.plugin, member.process)
    if not problem and member.plugin != EXPORT and not member.path.startswith(folder):
        problem = f"it lies outside of the folder {folder}"
    if problem:
        return FailureRow(member.plugin, member.path, "unsafe_path", problem, member.process)
    return None


def _unusable_path(path: str) -> str:
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "its path cannot be written as bytes"
    parts = raw.split(b"/")
    if b"\0" in raw or not {b"", b".", b".."}.isdisjoint(parts):
        return "its path is not relative, or has empty, `.` or `..` parts or a NUL"
    if len(raw) > _PATH_BYTES or max(map(len, parts)) > _NAME_BYTES:
        return f"its path, or a name in it, is longer than {_PATH_BYTES} or {_NAME_BYTES} bytes"
    return ""


def _failures(told: Iterable[Told[ArchiveMember]]) -> Iterator[FailureRow]:
    for each in told:
        if each.fault:
            yield FailureRow(EXPORT, None, PROCESS_FAILED, each.fault, each.process)
        for failure in (failure for answer in each.answers for failure in answer.failures):
            yield hook_failed(failure, each.process)


def _contributed(told: Iterable[Told[ArchiveMember]]) -> Iterator[PlannedMember]:
    for each in told:
        for answer in each.answers:
            for member in answer.items:
                # What is shared stands once, as this process has it.
                if not (member.shared and each.is_other):
                    yield _planned(each, answer.plugin, member)


def _planned(told: Told[ArchiveMember], plugin: str, member: ArchiveMember) -> PlannedMember:
    process = None if member.shared else told.process
    return PlannedMember(
        path=member.path if process is None else f"{PROCESSES}/{process}/{member.path}",
        source=member.source,
        group=_group(plugin, member),
        plugin=plugin,
        stage=_stage(member),
        verbatim=member.verbatim,
        process=process,
        is_other=told.is_other,
    )


def _group(plugin: str, member: ArchiveMember) -> str:
    # A dataclass does not hold its author to its types.
    return member.group if isinstance(member.group, str) else plugin


def _stage(member: ArchiveMember) -> Stage:
    if member.slow:
        return Stage.SLOW
    if isinstance(member.source, bytes):
        return Stage.AT_HAND
    return Stage.CALLED if callable(member.source) else Stage.FILE


class _Claims:
    """Who holds which path. The same name as file and as folder cannot be unpacked either."""

    def __init__(self) -> None:
        self._files = dict.fromkeys((MANIFEST_TEXT, MANIFEST_JSON), EXPORT)
        self._folders: dict[str, str] = {}

    def refuse(self, member: PlannedMember) -> FailureRow | None:
        """Claim the member's path; return a row that names both if somebody holds it."""
        folders = [str(folder) for folder in PurePosixPath(member.path).parents][:-1]
        holder = self._holder(member.path, folders)
        if holder is not None:
            message = f"{holder} and {member.plugin} both claim this path; {holder} keeps it"
            return FailureRow(member.plugin, member.path, "duplicate_path", message, member.process)
        self._files[member.path] = member.plugin
        for folder in folders:
            self._folders.setdefault(folder, member.plugin)
        return None

    def _holder(self, path: str, folders: list[str]) -> str | None:
        taken = [self._files.get(path), self._folders.get(path), *map(self._files.get, folders)]
        return next((plugin for plugin in taken if plugin is not None), None)
