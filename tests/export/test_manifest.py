from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from endoscope import HostIdentity, ManifestEntry, PluginFailure, PluginReport
from endoscope_export import manifest
from endoscope_export.manifest import (
    EntryRow,
    FailureRow,
    LeftOut,
    Manifest,
    MemberRow,
    PluginRow,
    ProcessRow,
    entry_row,
    rfc3339,
)
from endoscope_export.selection import Selection

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "manifest.schema.json").read_text("utf-8")
)
HOST = HostIdentity(
    "router", "2.5.1", 7, 1_700_000_000.0, 1_700_000_000.0, Path("/out"), "0.1.0", "3.11.7", "Linux"
)
FULL = Manifest(
    made=1_700_000_060.5,
    host=HOST,
    selection=Selection(frozenset({"memory"}), frozenset({"binary"}), 1_699_999_200.0),
    plugins=(
        PluginRow(
            PluginReport(
                "bad", "stranger", "1", (), (PluginFailure("bad", "load", "ImportError: x"),)
            ),
            30.0,
            timed_out=True,
        ),
    ),
    entries=(EntryRow("memory", "heap", "active", True, 8),),
    members=(
        MemberRow(
            "memory/\udcff", 3, "0" * 64, None, "memory", "memory", 0.5, False, "text", {"key": 2}
        ),
    ),
    failures=(
        FailureRow("memory", "memory/x", "vanished", "gone", 8),
        FailureRow("export", None, "process_failed", "it has ended", 9),
    ),
    left_out=(
        LeftOut("router-binary", "export", "binary"),
        LeftOut("memory/old.prof", "memory", "memory", "older"),
    ),
    processes=(ProcessRow(8, 1_700_000_001.0), ProcessRow(9, 1_700_000_002.0)),
)


@pytest.mark.parametrize("facts", [FULL, Manifest(1_700_000_000.0, HOST, Selection())])
def test_the_json_is_as_the_schema_says(facts):
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(manifest.as_json(facts)))


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_json_holds_the_facts():
    document = json.loads(manifest.as_json(FULL))
    assert document["schema"] == 1
    assert document["complete"] is True
    assert (document["made"], document["timestamp"]) == ("2023-11-14T22:14:20Z", 1_700_000_060)
    assert document["uptime_seconds"] == 60.5
    assert document["selection"] == {
        "only": ["memory"],
        "without": ["binary"],
        "since": "2023-11-14T22:00:00Z",
    }
    assert document["redactions"] == document["members"][0]["redactions"] == {"key": 2}
    assert document["left_out"][1]["reason"] == "older"
    assert document["members"][0]["path"] == "memory/\udcff"
    assert document["plugins"][0]["timed_out"] is True


def test_what_is_of_each_process_is_counted():
    document = json.loads(manifest.as_json(FULL))
    assert document["processes"] == [
        {"pid": 8, "process_started": "2023-11-14T22:13:21Z", "members": 0, "failures": 1},
        {"pid": 9, "process_started": "2023-11-14T22:13:22Z", "members": 0, "failures": 1},
    ]
    assert [row["process"] for row in document["failures"]] == [8, 9]
    assert document["members"][0]["process"] is None


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (FailureRow("memory", "memory/x", "vanished", "", 8), "memory/x"),
        (FailureRow("memory", None, "hook_failed", ""), "plugin memory"),
        (FailureRow("memory", None, "hook_failed", "", 8), "plugin memory of process 8"),
        (FailureRow("export", None, "process_failed", "", 8), "process 8"),
    ],
)
def test_what_has_failed_is_a_file_a_plugin_or_a_process(row, what):
    assert row.what == what


def test_the_json_is_ascii_whatever_the_names():
    assert manifest.as_json(FULL).isascii()


@pytest.mark.parametrize("value", ["text", "\ud800", 5, 2.5, True, None])
def test_a_fact_of_a_plain_type_is_an_entry(value):
    row = entry_row("memory", ManifestEntry("heap", "name", value))
    assert row == EntryRow("memory", "heap", "name", value)


@pytest.mark.parametrize(
    "entry",
    [
        ManifestEntry("heap", "name", object()),
        ManifestEntry("heap", "name", ["list"]),
        ManifestEntry("heap", "name", float("nan")),
        ManifestEntry("heap", "name", 10**5000),
        ManifestEntry(1, "name", "value"),
        ManifestEntry("heap", None, "value"),
    ],
)
def test_any_other_fact_is_a_failure(entry):
    row = entry_row("memory", entry)
    assert (row.plugin, row.code) == ("memory", "wrong_type")


def test_times_are_utc_to_the_second():
    assert rfc3339(0.9) == "1970-01-01T00:00:00Z"
    assert rfc3339(1e18) == "9999-12-31T23:59:59Z"
