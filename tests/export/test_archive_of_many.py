"""Archives of all processes of a service."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
import time
import tracemalloc
from pathlib import Path

import jsonschema
import pytest

from endoscope import ArchiveMember, BadRequestError, ManifestEntry, PluginFailure
from endoscope_export import archive, manifest

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "manifest.schema.json").read_text("utf-8")
)
OWN = "processes/4711"


@pytest.fixture
def service(core, other, tmp_path):
    """Add two other processes to this one, all with the same plugins and a dump they share."""
    (tmp_path / "a.prof").write_bytes(b"heap\0" * 1000)

    def members(pid):
        log = tmp_path / f"{pid}.log"
        log.write_text(f"{pid} has password=hunter2\n")
        shared = ArchiveMember("a.prof", tmp_path / "a.prof", "memory", verbatim=True, shared=True)
        return {
            "memory": [shared, ArchiveMember("status.json", b'{"pid": %d}' % pid, "memory")],
            "logs": [
                ArchiveMember("service.log", log, "logs"),
                ArchiveMember("open.log", log.open, "logs"),
                ArchiveMember("made.txt", lambda: b"made by %d" % pid, "logs", slow=True),
            ],
        }

    core.contributed = members(4711)
    core.entries = {"memory": [ManifestEntry("heap", "pid", 4711)]}
    return [
        other(pid, members(pid), entries={"memory": [ManifestEntry("heap", "pid", pid)]})
        for pid in (90, 10_000)
    ]


def failures(document, *columns):
    return [tuple(row[column] for column in columns) for row in document["failures"]]


def test_each_process_has_a_folder_and_what_is_shared_stands_once(make_export, service):
    files = make_export(include_binary=True).unpacked(every_process=True)
    own = ["logs/made.txt", "logs/open.log", "logs/service.log", "memory/status.json"]
    assert files.keys() == {
        "config/router.yaml",
        "memory/a.prof",
        "router-binary",
        "manifest.txt",
        "manifest.json",
        *(f"processes/{pid}/{path}" for pid in (90, 4711, 10_000) for path in own),
    }
    assert files["processes/90/memory/status.json"] == b'{"pid": 90}'
    assert files[f"{OWN}/memory/status.json"] == b'{"pid": 4711}'
    assert files["processes/10000/logs/made.txt"] == b"made by 10000"
    for name in ("open.log", "service.log"):
        assert files[f"processes/90/logs/{name}"] == b"90 has password=********\n"


def test_the_manifest_says_of_everything_whose_it_is(export, service):
    document = export.manifest(every_process=True)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["processes"] == [
        {"pid": 90, "process_started": "2023-11-14T22:13:21Z", "members": 4, "failures": 0},
        {"pid": 4711, "process_started": "2023-11-14T22:13:20Z", "members": 4, "failures": 0},
        {"pid": 10000, "process_started": "2023-11-14T22:13:21Z", "members": 4, "failures": 0},
    ]
    for row in document["members"]:
        folder = "" if row["process"] is None else f"processes/{row['process']}/"
        assert row["path"].startswith(folder)
        assert row["path"].startswith("processes/") == bool(folder)
    assert [(row["process"], row["value"]) for row in document["entries"]] == [
        (4711, 4711),
        (90, 90),
        (10000, 10000),
    ]
    assert failures(document, "code") == []


def test_of_one_process_everything_is_as_it_was(export, service):
    files, document = export.unpacked(), export.manifest()
    assert not any(path.startswith("processes") for path in files)
    assert document["processes"] == []
    assert {row["process"] for row in document["members"] + document["entries"]} == {None}
    assert [each.asked for each in service] == [0, 0]


def test_groups_are_chosen_in_all_processes(export, service):
    document = export.manifest(every_process=True, without="memory,config")
    paths = {row["path"] for row in document["members"]}
    assert {f"processes/{pid}/logs/open.log" for pid in (90, 4711, 10_000)} < paths
    assert not any("memory" in path for path in paths)
    assert {(row["path"], row["process"]) for row in document["left_out"]} == {
        ("config/router.yaml", None),
        ("memory/a.prof", None),
        *((f"processes/{pid}/memory/status.json", pid) for pid in (90, 4711, 10_000)),
    }


def test_a_group_that_one_process_has_can_be_asked_for(export, service):
    service[0].contributed["threads"] = [ArchiveMember("stacks.txt", b"x", "stacks")]
    for group in ("threads", "stacks"):
        assert export.download(every_process=True, only=group)
    with pytest.raises(BadRequestError):
        export.stream(only="threads")
    with pytest.raises(BadRequestError):
        export.stream(every_process=True, only="nobody")


def test_files_of_other_processes_are_left_out_if_they_are_older(export, service, tmp_path):
    os.utime(tmp_path / "90.log", (1_600_000_000, 1_600_000_000))
    left_out = export.manifest(every_process=True, since="1h")["left_out"]
    assert {(row["path"], row["reason"], row["process"]) for row in left_out} == {
        (f"processes/90/logs/{name}", "older", 90) for name in ("open.log", "service.log")
    }


def test_the_same_members_give_the_same_bytes(export, core, service, monkeypatch):
    monkeypatch.setattr(manifest, "as_json", lambda facts: b"{}")
    monkeypatch.setattr(archive.manifest_text, "as_text", lambda facts: b"")
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    first = export.download(every_process=True)
    core.others.reverse()
    assert export.download(every_process=True) == first


def test_the_first_bytes_come_before_another_process_is_asked_for_content(export, service):
    stream = export.stream(every_process=True)
    assert next(stream.chunks)
    assert [each.asked for each in service] == [1, 1]
    stream.chunks.close()


# --- one process's trouble is its own -----------------------------------------------------------


def others_are_whole(files, *pids):
    for pid in pids:
        assert files[f"processes/{pid}/logs/made.txt"] == b"made by %d" % pid
        assert files[f"processes/{pid}/memory/status.json"] == b'{"pid": %d}' % pid


def test_one_that_has_ended_costs_its_own_members_only(export, service):
    service[0].answers = 0
    files = export.unpacked(every_process=True)
    others_are_whole(files, 4711, 10_000)
    document = json.loads(files["manifest.json"])
    assert failures(document, "plugin", "path", "code", "message", "process") == [
        ("export", None, "process_failed", "process 90 has ended", 90)
    ]
    assert document["processes"][0]["members"] == 0
    assert b"process 90  process_failed  process 90 has ended" in files["manifest.txt"]


def test_one_that_ends_in_the_middle_costs_what_is_left_of_it(export, service):
    service[0].answers = 3  # its list, and two members
    files = export.unpacked(every_process=True)
    others_are_whole(files, 4711, 10_000)
    document = json.loads(files["manifest.json"])
    found = document["processes"][0]
    assert (found["pid"], found["members"], found["failures"]) == (90, 2, 3)
    assert set(failures(document, "code", "message", "process")) == {
        ("raised", "process 90 has ended", 90),
        ("process_failed", "process 90 has ended", 90),
    }


def test_one_that_hangs_in_the_middle_costs_one_time_limit(make_export, service, monkeypatch):
    monkeypatch.setattr("endoscope_export.processes._SIGN_OF_LIFE_SECONDS", 0.3)
    service[0].answers, service[0].hangs = 1, True
    export, began = make_export(contributor_seconds=1), time.monotonic()
    files = export.unpacked(every_process=True)
    assert time.monotonic() - began < 3
    others_are_whole(files, 4711, 10_000)
    document = json.loads(files["manifest.json"])
    codes = failures(document, "path", "code", "process")
    assert codes[0] == ("processes/90/logs/open.log", "timed_out", 90)
    assert set(codes[1:]) == {
        (f"processes/90/{path}", "process_failed", 90)
        for path in ("logs/service.log", "logs/made.txt", "memory/status.json")
    }


def test_a_plugin_that_hangs_in_one_process_costs_its_members_there(make_export, service):
    released = threading.Event()
    service[0].contributed["logs"] = [
        ArchiveMember("a", lambda: released.wait(20), "logs"),
        ArchiveMember("b", lambda: b"too late", "logs"),
    ]
    files = make_export(contributor_seconds=0.5).unpacked(every_process=True)
    released.set()
    others_are_whole(files, 4711, 10_000)
    assert files["processes/90/memory/status.json"] == b'{"pid": 90}'
    document = json.loads(files["manifest.json"])
    assert failures(document, "path", "code", "process") == [
        ("processes/90/logs/a", "timed_out", 90),
        ("processes/90/logs/b", "timed_out", 90),
    ]
    (row,) = [row for row in document["plugins"] if row["name"] == "logs"]
    assert row["timed_out"] is True


def test_a_hook_that_failed_in_one_process_is_told_of_that_process(export, service):
    service[0].hook_failures["bad"] = [
        PluginFailure("bad", "endoscope_archive_members", "sent test-secret-123")
    ]
    document = export.manifest(every_process=True)
    assert failures(document, "plugin", "code", "message", "process") == [
        ("bad", "hook_failed", "sent ********", 90)
    ]


# --- nothing is left ------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 3, 100])
def test_the_others_are_let_go_of_whenever_the_client_leaves(export, service, steps):
    before = os.listdir("/proc/self/fd")
    chunks = export.stream(every_process=True).chunks
    for _, _ in zip(range(steps), chunks, strict=False):
        pass
    chunks.close()
    assert [each.closed for each in service] == [1, 1]
    assert os.listdir("/proc/self/fd") == before
    assert export.download(every_process=True)


def test_the_others_are_let_go_of_after_a_mistake(export, service):
    with pytest.raises(BadRequestError):
        export.stream(every_process=True, only="nobody")
    assert [each.closed for each in service] == [1, 1]
    assert export.download(every_process=True)


def test_a_client_who_leaves_while_entries_are_asked_for_is_noticed(export, service):
    service[0].answers, service[0].hangs = 5, True
    chunks = export.stream(every_process=True).chunks
    while service[0].asked < 6:
        next(chunks)
    began = time.monotonic()
    chunks.close()
    assert time.monotonic() - began < 1
    assert [each.closed for each in service] == [1, 1]


def test_memory_does_not_grow_with_what_200_processes_send(export, other):
    for pid in range(1, 201):
        members = [ArchiveMember(f"{n}.bin", lambda: os.urandom(25_000), "m") for n in range(20)]
        other(pid, {"m": members})
    tracemalloc.start()
    try:
        received = sum(len(chunk) for chunk in export.stream(every_process=True).chunks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received > 200 * 20 * 25_000
    assert peak < 30_000_000


def test_200_processes_make_an_archive_that_can_be_read(export, other):
    for pid in range(1, 201):
        other(pid, {"m": [ArchiveMember("a", b"%d" % pid, "m")]})
    with tarfile.open(fileobj=io.BytesIO(export.download(every_process=True))) as opened:
        names = [name for name in opened.getnames() if name.startswith("processes/")]
    assert names == [f"processes/{pid}/m/a" for pid in range(1, 201)]
