from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from endoscope import HostIdentity, ManifestEntry, PluginAnswer, PluginFailure, PluginReport
from endoscope_export.bundle import Plan, PlannedMember, Stage
from endoscope_export.contributor import Contributor
from endoscope_export.ledger import Ledger
from endoscope_export.limits import Allowance, Limits
from endoscope_export.manifest import FailureRow
from endoscope_export.order import Order
from endoscope_export.processes import Processes
from endoscope_export.redaction import Rules
from endoscope_export.selection import Selection

HOST = HostIdentity("router", "", 7, 0.0, 0.0, Path("/out"), "0.1.0", "3.11.7", "Linux")
LIMITS = Limits(30, 600)
SPENT = {Contributor("slow"): 10.0, Contributor("slow", 8): 20.0}
LATE = PluginFailure("slow", "endoscope_manifest_entries", "no answer", timed_out=True)


@dataclass
class Core:
    """Knows its plugins, and nothing else."""

    reports: tuple[PluginReport, ...]

    def plugins(self):
        return self.reports


@pytest.fixture
def ledger():
    plan = Plan((), failures=(FailureRow("bad", None, "hook_failed", "ValueError: no"),))
    return Ledger(plan, Rules.of(["test-secret-123"], {}))


def manifest(ledger, *reports):
    order = Order(0.0, 0.0, HOST, Selection(), LIMITS)
    core = Core(reports)
    return ledger.manifest(order, Allowance(LIMITS, SPENT, 0.0), Processes(core, HOST))


def report(name, *failures):
    return PluginReport(name, "d", "1", (), failures)


def test_what_the_plan_knew_comes_first(ledger):
    ledger.fail(FailureRow("memory", "memory/a", "vanished", "gone"))
    assert [row.code for row in manifest(ledger).failures] == ["hook_failed", "vanished"]


def test_who_was_late_is_told_with_its_time_in_all_processes(ledger, told):
    ledger.tell(told(PluginAnswer("slow", (), 30.0, (LATE,))))
    slow, fine = manifest(ledger, report("slow"), report("fine")).plugins
    assert (slow.timed_out, slow.seconds) == (True, 30.0)
    assert (fine.timed_out, fine.seconds) == (False, 0.0)


def test_what_failed_before_this_archive_is_told_but_for_its_own_hooks(ledger):
    standing = PluginFailure("bad", "load", "ImportError: test-secret-123")
    rows = manifest(ledger, report("bad", standing), report("slow", LATE)).failures
    assert [(row.code, row.message) for row in rows] == [
        ("plugin_failed", "load: ImportError: ********"),
        ("hook_failed", "ValueError: no"),
    ]


def test_secrets_are_masked_wherever_plugins_speak(ledger, told):
    ledger.fail(FailureRow("memory", "memory/a", "raised", "got test-secret-123"))
    entries = (
        ManifestEntry("db", "password", "hunter2-hunter2"),
        ManifestEntry("db", "note", "test-secret-123 it is"),
        ManifestEntry("db", "connections", 5),
        ManifestEntry("db", "pin_password", 123_456_789),
        ManifestEntry("of test-secret-123", "test-secret-123 url", "hello"),
        ManifestEntry("db", "wrong", object()),
    )
    ledger.tell(told(PluginAnswer("memory", entries)))
    found = manifest(ledger, report("bad", PluginFailure("bad", "load", "test-secret-123")))
    assert "test-secret-123" not in repr(found)
    assert "hunter2" not in repr(found)
    assert [(entry.name, entry.value) for entry in found.entries] == [
        ("password", "********"),
        ("note", "******** it is"),
        ("connections", 5),
        ("pin_password", "********"),
        ("******** url", "hello"),
    ]
    assert found.failures[-1].code == "wrong_type"


def test_what_was_left_out_is_told_with_its_reason(ledger):
    member = PlannedMember("memory/a", b"", "memory", "memory", Stage.FILE)
    ledger.leave_out(member, "older")
    assert [(row.path, row.reason) for row in manifest(ledger).left_out] == [("memory/a", "older")]


def test_what_another_process_tells_says_whose_it_is(ledger, told):
    entries = (ManifestEntry("heap", "active", True), ManifestEntry("heap", "wrong", object()))
    ledger.tell(told(PluginAnswer("memory", entries, 0.0, (LATE,)), process=8, is_other=True))
    ledger.tell(told(process=9, is_other=True, fault="it knew test-secret-123"))
    found = manifest(ledger)
    assert [(row.name, row.process) for row in found.entries] == [("active", 8)]
    assert [(row.code, row.message, row.process) for row in found.failures[1:]] == [
        ("timed_out", "no answer", 8),
        ("wrong_type", "a manifest entry made of (str, str, object)", 8),
        ("process_failed", "it knew ********", 9),
    ]
