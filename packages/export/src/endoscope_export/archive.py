"""One archive being made: from the plan to its last byte, with a record of what happened."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from endoscope_export import content, manifest, manifest_text
from endoscope_export.bundle import EXPORT, MANIFEST_JSON, MANIFEST_TEXT, PlannedMember, Stage
from endoscope_export.content import Blob, Content, ContentError
from endoscope_export.manifest import EntryRow, FailureRow, Manifest, MemberRow, PluginRow
from endoscope_export.tar_stream import FLUSH, Pieces, TarStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from endoscope import Contributions, HostIdentity, PluginFailure, PluginReport
    from endoscope_export.bundle import Plan
    from endoscope_export.selection import Selection

# Failures of these hooks are told by this very archive's answers; what a plugin's report
# says of them may be an earlier archive's.
_OWN_HOOKS = frozenset({"endoscope_archive_members", "endoscope_manifest_entries"})


_MADE_ON_DEMAND = (Stage.CALLED, Stage.SLOW)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made: by when (`made`, Unix seconds), of whom, and what was asked for.

    `contributor_seconds` is the limit on each plugin's hook and callables together.
    """

    made: float
    host: HostIdentity
    selection: Selection
    contributor_seconds: float


@dataclass(slots=True)
class _Ledger:
    """What has happened so far."""

    members: list[MemberRow] = field(default_factory=list)
    entries: list[EntryRow] = field(default_factory=list)
    failures: list[FailureRow] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)
    timed_out: set[str] = field(default_factory=set)

    def fail(self, plugin: str, path: str | None, code: str, message: str) -> None:
        self.failures.append(FailureRow(plugin, path, code, message))
        if code == "timed_out":
            self.timed_out.add(plugin)

    def spend(self, plugin: str, seconds: float) -> None:
        self.spent[plugin] = self.spent.get(plugin, 0.0) + seconds


class Archive:
    """Makes one archive. `pieces` can be pulled once."""

    def __init__(self, order: Order, plan: Plan, contributions: Contributions) -> None:
        self._order = order
        self._plan = plan
        self._contributions = contributions
        self._tar = TarStream()
        self._ledger = _Ledger(
            failures=list(plan.failures), spent=dict(plan.spent), timed_out=set(plan.timed_out)
        )

    def pieces(self) -> Pieces:
        """Yield the archive as uncompressed tar.

        Closing the generator, at any point, closes the file that is being read.
        """
        stage = Stage.AT_HAND
        for member in self._plan.members:
            if member.stage is not stage or member.stage in _MADE_ON_DEMAND:
                yield FLUSH  # what follows may take its time: the client gets the rest now
            stage = member.stage
            yield from self._contributed(member)
        yield FLUSH
        self._gather_entries()
        yield from self._own(MANIFEST_TEXT, manifest_text.as_text(self._manifest()))
        yield from self._own(MANIFEST_JSON, manifest.as_json(self._manifest()))
        yield from self._tar.end()

    def _contributed(self, member: PlannedMember) -> Pieces:
        began = time.monotonic()
        try:
            opened = self._open(member)
        except ContentError as error:
            self._ledger.fail(member.plugin, member.path, error.code, error.message)
            return
        opening = time.monotonic() - began
        with closing(opened):
            sent = yield from self._tar.entry(member.path, opened)
        row = MemberRow(
            path=member.path,
            bytes=opened.size,
            sha256=sent.sha256,
            modified=None if opened.modified is None else manifest.rfc3339(opened.modified),
            plugin=member.plugin,
            group=member.group,
            seconds=opening + sent.seconds,
            truncated=bool(sent.cut),
        )
        self._ledger.members.append(row)
        if sent.cut:
            self._ledger.fail(member.plugin, member.path, "truncated", sent.cut)

    def _own(self, path: str, data: bytes) -> Pieces:
        sent = yield from self._tar.entry(path, Blob(data), modified=int(self._order.made))
        row = MemberRow(path, len(data), sent.sha256, None, EXPORT, "manifest", 0.0, False)
        self._ledger.members.append(row)

    def _open(self, member: PlannedMember) -> Content:
        return content.open_source(member.source, partial(self._call, member.plugin))

    def _call(self, plugin: str, function: Callable[[], None]) -> None:
        """Call within what is left of the plugin's time, and charge it for what it used."""
        limit = self._order.contributor_seconds
        left = limit - self._ledger.spent.get(plugin, 0.0)
        if left <= 0:
            message = f"{plugin} had used up its {limit:g} s before this file's turn"
            raise ContentError("timed_out", message)
        began = time.monotonic()
        try:
            self._contributions.call_within(left, function)
        finally:
            self._ledger.spend(plugin, time.monotonic() - began)

    def _gather_entries(self) -> None:
        limit = self._order.contributor_seconds
        for answer in self._contributions.manifest_entries(limit):
            self._ledger.spend(answer.plugin, answer.seconds)
            for failure in answer.failures:
                self._ledger.fail(answer.plugin, None, _code(failure), failure.error)
            for entry in answer.items:
                row = manifest.entry_row(answer.plugin, entry)
                if isinstance(row, EntryRow):
                    self._ledger.entries.append(row)
                else:
                    self._ledger.failures.append(row)

    def _manifest(self) -> Manifest:
        ledger, reports = self._ledger, self._contributions.plugins()
        return Manifest(
            made=self._order.made,
            host=self._order.host,
            selection=self._order.selection,
            plugins=tuple(self._plugin_row(report) for report in reports),
            entries=tuple(ledger.entries),
            members=tuple(ledger.members),
            failures=(*_standing_failures(reports), *ledger.failures),
            left_out=self._plan.left_out,
        )

    def _plugin_row(self, report: PluginReport) -> PluginRow:
        seconds = self._ledger.spent.get(report.name, 0.0)
        return PluginRow(report, seconds, report.name in self._ledger.timed_out)


def _standing_failures(reports: tuple[PluginReport, ...]) -> Iterator[FailureRow]:
    """Say of what failed before this archive, a plugin that never loaded for one."""
    for report in reports:
        for failure in report.failures:
            if failure.hook not in _OWN_HOOKS:
                message = f"{failure.hook}: {failure.error}"
                yield FailureRow(report.name, None, "plugin_failed", message)


def _code(failure: PluginFailure) -> str:
    return "timed_out" if failure.timed_out else "hook_failed"
