"""What has happened while an archive was made: the facts of its manifest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from endoscope import giving_way
from endoscope_export import manifest
from endoscope_export.bundle import EXPORT
from endoscope_export.manifest import (
    PROCESS_FAILED,
    EntryRow,
    FailureRow,
    LeftOut,
    Manifest,
    PluginRow,
    hook_failed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from endoscope import ManifestEntry, PluginReport
    from endoscope_export.bundle import Plan, PlannedMember
    from endoscope_export.limits import Allowance
    from endoscope_export.manifest import MemberRow, Value
    from endoscope_export.order import Order
    from endoscope_export.processes import Processes, Told
    from endoscope_export.redaction import Rules

# Failures of these hooks are told by this very archive's answers; what a plugin's report
# says of them may be an earlier archive's.
_OWN_HOOKS = frozenset({"endoscope_archive_members", "endoscope_manifest_entries"})


class Ledger:
    """Takes down one archive. Secrets in what plugins say are masked by `rules`.

    `failures` and `left_out` are the rows so far.
    """

    def __init__(self, plan: Plan, rules: Rules) -> None:
        self._rules = rules
        self._members: list[MemberRow] = []
        self._entries: list[EntryRow] = []
        self.left_out = list(plan.left_out)
        self.failures: list[FailureRow] = []
        self._timed_out: set[str] = set()
        for row in plan.failures:
            self.fail(row)

    def add(self, row: MemberRow) -> None:
        """Take down a file that is in the archive now."""
        self._members.append(row)

    def leave_out(self, member: PlannedMember, reason: Literal["group", "older"]) -> None:
        """Take down a file that was not asked for."""
        row = LeftOut(member.path, member.plugin, member.group, reason, member.process)
        self.left_out.append(row)

    def fail(self, row: FailureRow) -> None:
        """Take down what should have been in the archive and is not, or not whole."""
        self.failures.append(replace(row, message=self._rules.redacted(row.message)))
        if row.code == "timed_out":
            self._timed_out.add(row.plugin)

    def tell(self, told: Told[ManifestEntry]) -> None:
        """Take down the facts that the plugins of one process tell."""
        if told.fault:
            self.fail(FailureRow(EXPORT, None, PROCESS_FAILED, told.fault, told.process))
        for answer in told.answers:
            for failure in answer.failures:
                self.fail(hook_failed(failure, told.process))
            for entry in giving_way(answer.items):
                self._tell_one(manifest.entry_row(answer.plugin, entry, told.process))

    def manifest(self, order: Order, allowance: Allowance, processes: Processes) -> Manifest:
        """Return all that is known so far."""
        reports = tuple(map(self._masked_report, processes.contributions.plugins()))
        return Manifest(
            made=order.made,
            host=order.host,
            selection=order.selection,
            plugins=tuple(
                PluginRow(report, allowance.spent_by(report.name), report.name in self._timed_out)
                for report in reports
            ),
            entries=tuple(self._entries),
            members=tuple(self._members),
            failures=(*_standing_failures(reports), *self.failures),
            left_out=tuple(self.left_out),
            processes=processes.rows,
        )

    def _tell_one(self, row: EntryRow | FailureRow) -> None:
        if isinstance(row, EntryRow):
            self._entries.append(self._masked_entry(row))
        else:
            self.fail(row)

    def _masked_entry(self, row: EntryRow) -> EntryRow:
        """Mask a fact as if it stood in a file: by its name, too."""
        section, name = self._rules.redacted(row.section), self._rules.redacted(row.name)
        return replace(row, section=section, name=name, value=self._masked_value(row))

    def _masked_value(self, row: EntryRow) -> Value:
        if row.value is None or isinstance(row.value, bool):
            return row.value
        # A name with a secret in it does not say what stands under it.
        named = f"{row.name}: " if self._rules.redacted(row.name) == row.name else ""
        masked = self._rules.redacted(f"{named}{row.value}").removeprefix(named)
        return row.value if masked == str(row.value) else masked

    def _masked_report(self, report: PluginReport) -> PluginReport:
        masked = (replace(f, error=self._rules.redacted(f.error)) for f in report.failures)
        return replace(report, failures=tuple(masked))


def _standing_failures(reports: tuple[PluginReport, ...]) -> Iterator[FailureRow]:
    """Say of what failed before this archive, a plugin that never loaded for one."""
    for report in reports:
        for failure in report.failures:
            if failure.hook not in _OWN_HOOKS:
                message = f"{failure.hook}: {failure.error}"
                yield FailureRow(report.name, None, "plugin_failed", message)
