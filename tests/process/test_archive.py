import json
import threading
import time

import pytest

from endoscope_process import archive

NAMES = [
    "command_line.txt",
    "environment.json",
    "limits.json",
    "memory.json",
    "cgroup.json",
    "descriptors.json",
    "threads.json",
    "system.json",
    "disk.json",
]


def test_every_member_has_a_source_of_its_own(tmp_path):
    members = archive.members(tmp_path)
    assert [member.path for member in members] == NAMES
    assert {member.group for member in members} == {"process"}
    assert len({member.source for member in members}) == len(members)


def test_only_what_may_wait_for_a_server_is_slow(tmp_path):
    assert [member.path for member in archive.members(tmp_path) if member.slow] == ["disk.json"]


def test_every_member_is_whole_and_nothing_sleeps(tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    for member in archive.members(tmp_path):
        content = member.source()
        assert content.endswith(b"\n"), member.path
        if member.path.endswith(".json"):
            found = json.loads(content)
            assert "error" not in found, member.path
            assert json.dumps(found, indent=2).encode() + b"\n" == content
    assert all(seconds < 0.001 for seconds in slept)  # but to give way


def test_a_reader_that_fails_costs_its_own_file_only(tmp_path, monkeypatch):
    monkeypatch.delattr(threading, "_active")
    documents = {
        member.path: json.loads(member.source())
        for member in archive.members(tmp_path)
        if member.path.endswith(".json")
    }
    assert "AttributeError" in documents["threads.json"]["error"]
    assert documents["descriptors.json"]["count"] > 0


def test_the_manifest_says_what_the_files_say(tmp_path):
    entries = {entry.name: entry.value for entry in archive.manifest_entries()}
    sources = {member.path: member.source for member in archive.members(tmp_path)}
    assert {entry.section for entry in archive.manifest_entries()} == {"process"}
    assert entries["threads"] == json.loads(sources["threads.json"]())["count"]
    assert entries["descriptors"] == json.loads(sources["descriptors.json"]())["count"]
    lowest = json.loads(sources["cgroup.json"]())["memory"]["lowest_limit_bytes"]["value"]
    assert entries["memory_limit_bytes"] == lowest
    assert entries["resident_bytes"] > 1_000_000


def test_a_fact_that_cannot_be_told_is_none(monkeypatch):
    monkeypatch.setattr("endoscope_process.memory.status", dict)
    entries = {entry.name: entry.value for entry in archive.manifest_entries()}
    assert entries["resident_bytes"] is None
    assert entries["hostname"]


@pytest.mark.parametrize("name", NAMES)
def test_no_value_of_the_environment_is_in_any_file(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ENDOSCOPE_TEST_SECRET", "a-value-that-nobody-must-see")
    (member,) = [member for member in archive.members(tmp_path) if member.path == name]
    assert b"a-value-that-nobody-must-see" not in member.source()
