from __future__ import annotations

import os
from pathlib import Path

import pytest

from endoscope import ArchiveMember, BadRequestError, BusyError


def preview(export, **query):
    return export.stream(preview="1", **query).value


def rows(document):
    return {row["path"]: row for row in document["members"]}


def test_it_tells_what_would_be_there_how_large_and_what_would_be_masked(export, core, tmp_path):
    log = tmp_path / "service.log"
    log.write_text("password=hunter2\n" * 3)
    core.contributed["logs"] = [
        ArchiveMember("service.log", log, "logs"),
        ArchiveMember("core", b"\x7fELF\0", "logs"),
    ]
    document = preview(export)
    members = rows(document)
    assert members["logs/service.log"]["redactions"] == {"key": 3}
    assert members["logs/service.log"]["content"] == "text"
    assert members["logs/core"] == {
        "path": "logs/core",
        "plugin": "logs",
        "group": "logs",
        "bytes": 5,
        "content": "binary",
        "redactions": {},
        "truncated": False,
        "process": None,
    }
    assert document["redactions"] == {"key": 3}
    assert document["bytes"] == sum(row["bytes"] for row in members.values())
    assert "hunter2" not in repr(document)


def test_the_sizes_are_those_that_the_archive_then_has(export, core, tmp_path):
    core.contributed["logs"] = [
        ArchiveMember("a.log", b"token: abcdefghijklmnop\n", "logs"),
        ArchiveMember("b.log", lambda: b"plain\n", "logs"),
    ]
    sizes = {path: row["bytes"] for path, row in rows(preview(export)).items()}
    unpacked = {path: len(data) for path, data in export.unpacked().items()}
    assert sizes == {path: size for path, size in unpacked.items() if "manifest" not in path}


def test_what_takes_long_is_listed_and_not_made(export, core):
    made = []
    source = lambda: made.append(1) or b"x"  # noqa: E731
    core.contributed["memory"] = [ArchiveMember("growth.txt", source, "memory", slow=True)]
    row = rows(preview(export))["memory/growth.txt"]
    assert (row["bytes"], row["content"]) == (None, None)
    assert made == []


def test_failures_and_what_is_left_out_are_told(export, core, tmp_path):
    old = tmp_path / "old.log"
    old.write_text("x")
    os.utime(old, (1_600_000_000, 1_600_000_000))
    core.contributed["logs"] = [
        ArchiveMember("old.log", old, "logs"),
        ArchiveMember("gone.log", tmp_path / "gone", "logs"),
    ]
    document = preview(export, since="1h", without="config")
    assert document["selection"]["without"] == ["config"]
    assert [(row["path"], row["reason"]) for row in document["left_out"]] == [
        ("config/router.yaml", "group"),
        ("logs/old.log", "older"),
    ]
    assert [(row["path"], row["code"]) for row in document["failures"]] == [
        ("logs/gone.log", "vanished")
    ]


def test_it_takes_a_turn_and_gives_it_back(export):
    running = export.stream()
    with pytest.raises(BusyError):
        preview(export)
    running.chunks.close()
    preview(export)
    preview(export)


def test_of_all_processes_it_tells_whose_each_is(export, core, other):
    core.contributed["memory"] = [ArchiveMember("status.json", b"{}", "memory")]
    eighth = other(8, {"memory": [ArchiveMember("status.json", b"{ }", "memory")]})
    other(9, answers=0)
    document = preview(export, every_process=True, only="memory")
    assert [(row["path"], row["process"]) for row in document["members"]] == [
        ("processes/4711/memory/status.json", 4711),
        ("processes/8/memory/status.json", 8),
    ]
    assert [(row["code"], row["process"]) for row in document["failures"]] == [
        ("process_failed", 9)
    ]
    counts = [(row["pid"], row["members"], row["failures"]) for row in document["processes"]]
    assert counts == [(8, 1, 0), (9, 0, 1), (4711, 1, 0)]
    assert eighth.closed == 1


def test_mistakes_are_told(export):
    with pytest.raises(BadRequestError):
        preview(export, only="nobody")


def test_nothing_is_left_open_or_on_the_disk(make_export, core, tmp_path):
    core.contributed["logs"] = [
        ArchiveMember("large.log", lambda: b"password=x\n" * 110_000, "logs"),
        ArchiveMember("binary", Path(__file__).open, "logs", verbatim=True),
    ]
    export = make_export()
    before = len(os.listdir("/proc/self/fd"))
    document = preview(export)
    assert rows(document)["logs/large.log"]["redactions"] == {"key": 110_000}
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == []
