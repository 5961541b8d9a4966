from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from endoscope import HostIdentity, PluginReport
from endoscope_export import manifest_text
from endoscope_export.manifest import (
    EntryRow,
    FailureRow,
    LeftOut,
    Manifest,
    MemberRow,
    PluginRow,
    ProcessRow,
)
from endoscope_export.selection import Selection

HOST = HostIdentity(
    "router", "2.5.1", 7, 1_700_000_000.0, 1_700_000_000.0, Path("/out"), "0.1.0", "3.11.7", "Linux"
)
EMPTY = Manifest(1_700_000_060.0, HOST, Selection())
REPORT = PluginReport("memory", "endoscope-memory", "0.1.0", ("endoscope_routes",), ())
ROW = MemberRow(
    "memory/a",
    3,
    "0" * 64,
    "2023-11-14T22:13:20Z",
    "memory",
    "memory",
    0.5,
    False,
    "text",
    {"key": 2, "url": 1},
)


def text(**facts):
    return manifest_text.as_text(replace(EMPTY, **facts)).decode("utf-8", "surrogateescape")


def test_the_facts_are_aligned():
    lines = text().splitlines()
    assert "  made              2023-11-14T22:14:20Z (1700000060)" in lines
    assert "  process id        7" in lines
    assert "  asked for         everything" in lines


def test_what_is_empty_says_nothing():
    assert text().endswith("\nSkipped, cut or failed\n  nothing\n")


def test_a_plugin_is_one_line_with_version_and_abilities():
    shown = text(plugins=(PluginRow(REPORT, 0.25, timed_out=False),))
    assert "  memory  0.1.0  endoscope-memory  0.250 s  routes\n" in shown


def test_a_plugin_that_timed_out_or_is_disabled_says_so():
    disabled = replace(REPORT, hooks=(), disabled=True)
    rows = (PluginRow(REPORT, 30.0, timed_out=True), PluginRow(disabled, 0.0, timed_out=False))
    shown = text(plugins=rows)
    assert "timed out after 30.0 s" in shown
    assert "disabled" in shown


def test_entries_stand_under_their_plugin_and_section():
    entries = (
        EntryRow("memory", "memory", "active", True),
        EntryRow("memory", "heap", "in use", 5),
        EntryRow("memory", "heap", "note", None),
    )
    shown = text(entries=entries)
    assert "\nmemory\n  active  yes\n" in shown
    assert "\nmemory: heap\n  in use  5\n  note    -\n" in shown


def test_an_archive_of_many_processes_is_shown_by_process():
    shown = text(
        processes=(ProcessRow(7, 1_700_000_000.0), ProcessRow(12, 1_700_000_001.0)),
        members=(replace(ROW, path="processes/12/memory/a", process=12),),
        entries=(
            EntryRow("memory", "memory", "active", True, 7),
            EntryRow("memory", "memory", "active", False, 12),
        ),
        failures=(
            FailureRow("export", None, "process_failed", "it has ended", 7),
            FailureRow("slow", None, "timed_out", "late", 12),
        ),
    )
    assert "  process id        7 (made this archive)\n  process up" in shown
    assert "  processes         2\n" in shown
    assert (
        "\nProcesses\n"
        "  pid  started               files  failed\n"
        "  7    2023-11-14T22:13:20Z  0      1\n"
        "  12   2023-11-14T22:13:21Z  1      1\n"
    ) in shown
    assert "\nprocess 7, memory\n  active  yes\n" in shown
    assert "\nprocess 12, memory\n  active  no\n" in shown
    assert "  process 7                  process_failed  it has ended\n" in shown
    assert "  plugin slow of process 12  timed_out       late\n" in shown


def test_files_failures_and_what_was_not_asked_for_are_listed():
    shown = text(
        members=(replace(ROW, truncated=True),),
        failures=(
            FailureRow("memory", "memory/a", "truncated", "it shrank"),
            FailureRow("slow", None, "timed_out", "late"),
        ),
        left_out=(
            LeftOut("router-binary", "export", "binary"),
            LeftOut("memory/old", "memory", "memory", "older"),
        ),
        selection=Selection(frozenset({"memory"}), frozenset({"binary"}), 1_600_000_000.0),
    )
    assert "  3      2023-11-14T22:13:20Z  memory  0.500    text     memory/a (cut)\n" in shown
    assert f"\n{'0' * 64}  memory/a\n" in shown
    assert "  memory/a     truncated  it shrank\n" in shown
    assert "  plugin slow  timed_out  late\n" in shown
    assert "  router-binary  group binary\n" in shown
    assert "  memory/old     not changed since then\n" in shown
    assert "only memory without binary since 2020-09-13T12:26:40Z" in shown
    assert "\nMasked in text, by rule\n  memory/a  key 2, url 1\n" in shown


def test_nothing_in_it_moves_the_cursor():
    shown = text(failures=(FailureRow("bad", "a\x1b[2J", "raised", "two\nlines \ud800"),))
    assert "a\\x1b[2J" in shown
    assert "two\\nlines \\ud800" in shown


def test_checksum_lines_are_written_as_sha256sum_does():
    assert manifest_text.checksum_line(ROW) == f"{'0' * 64}  memory/a"
    strange = replace(ROW, path="memory/a\nb\\c")
    assert manifest_text.checksum_line(strange) == f"\\{'0' * 64}  memory/a\\nb\\\\c"
