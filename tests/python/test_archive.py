import json
import sys
import time

from endoscope_python import archive

NAMES = [
    "version.json",
    "build.json",
    "path.json",
    "warnings.json",
    "modules.json",
    "distributions.txt",
]


def test_every_member_has_a_source_of_its_own():
    members = archive.members()
    assert [member.path for member in members] == NAMES
    assert {member.group for member in members} == {"python"}
    assert len({member.source for member in members}) == len(members)


def test_every_member_is_whole_and_nothing_sleeps(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    for member in archive.members():
        content = member.source()
        assert content.endswith(b"\n"), member.path
        if member.path.endswith(".json"):
            found = json.loads(content)
            assert "error" not in found, member.path
            assert json.dumps(found, indent=2).encode() + b"\n" == content
    assert all(seconds < 0.001 for seconds in slept)  # but to give way


def test_a_reader_that_fails_costs_its_own_file_only(monkeypatch):
    monkeypatch.setattr("warnings.filters", [("ignore",)])
    documents = {member.path: member.source() for member in archive.members()}
    assert "ValueError" in json.loads(documents["warnings.json"])["error"]
    assert json.loads(documents["modules.json"])["count"] > 0


def test_the_manifest_says_what_the_files_say():
    entries = {entry.name: entry.value for entry in archive.manifest_entries()}
    assert {entry.section for entry in archive.manifest_entries()} == {"python"}
    assert entries["executable"] == sys.executable
    assert entries["virtual_environment"] is (sys.prefix != sys.base_prefix)
    assert entries["modules"] == len(sys.modules)
