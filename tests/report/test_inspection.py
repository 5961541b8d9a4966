import json

import pytest

from endoscope_report import manifest
from endoscope_report.contents import Contents
from endoscope_report.inspection import sections_of
from endoscope_report.tar_reader import Member


def member(path, size, kind="0"):
    return Member(path, size, kind, 0o644, (0, 0, "", ""))


@pytest.fixture
def told(build):
    """Return the rows of each section, by title."""

    def told(*, in_order=False, **changes):
        document = build.manifest(build.FILES, **changes)
        contents = Contents([member("x", 1500)], manifest.parse(json.dumps(document).encode()))
        return {each.title: each.rows for each in sections_of(contents, in_order=in_order)}

    return told


def test_whose_it_is(told):
    facts = dict(told()["Archive"])
    assert facts["service"] == "shop 2.5"
    assert facts["process"] == "4711, up for 60.5 s"
    assert facts["holds"] == "1 files, 1.5 kB"


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"only": None, "without": []}, "everything"),
        ({"only": ["memory", "config"], "without": []}, "only memory, config"),
        ({"only": None, "without": ["binary"]}, "everything without binary"),
        ({"only": None, "without": [], "since": "1h"}, "everything since 1h"),
    ],
)
def test_what_was_asked_for(told, selection, said):
    assert dict(told(selection=selection)["Archive"])["asked for"] == said


def test_files_are_largest_first_or_in_their_order(told, build):
    assert [row[2] for row in told()["Files"]] == [
        "shop-binary",
        "memory/status.json",
        "config/shop.yaml",
    ]
    assert [row[2] for row in told(in_order=True)["Files"]] == list(build.FILES)


def test_what_was_masked_and_cut(told, build):
    rows = build.manifest(build.FILES)["members"]
    rows[0] |= {"redactions": {"key": 2, "mail": 1}, "truncated": True}
    sections = told(members=rows, redactions={"key": 2, "mail": 1})
    assert sections["Files"][-1][2] == "config/shop.yaml  (cut)  (3 redacted)"
    assert sections["Redacted"] == [("2", "key"), ("1", "mail")]


def test_what_is_not_in_it_and_why(told):
    failure = {"plugin": "memory", "path": None, "code": "no_space", "message": "full"}
    left = {"path": "b", "plugin": "export", "group": "binary", "reason": "older"}
    sections = told(failures=[failure], left_out=[left])
    assert sections["Failed or cut"] == [("plugin memory", "no_space", "full")]
    assert sections["Left out"] == [("binary", "older", "b")]


def test_what_plugins_tell(told):
    entries = [
        {"plugin": "memory", "section": "memory", "name": str(value), "value": value}
        for value in (None, True, 3, "x")
    ]
    assert [row[3] for row in told(entries=entries)["What plugins tell"]] == ["-", "yes", "3", "x"]


def test_what_each_process_has(told, build):
    rows = build.manifest(build.FILES)["members"]
    rows[1] |= {"process": 8}
    rows[2] |= {"process": 8}
    failure = {"plugin": "export", "path": None, "code": "process_failed", "message": "ended"}
    entry = {"plugin": "memory", "section": "memory", "name": "dumps", "value": 3, "process": 8}
    sections = told(
        members=rows,
        failures=[failure | {"process": 9}],
        entries=[entry],
        processes=[{"pid": pid, "process_started": "2026-11-24T00:00:00Z"} for pid in (8, 9)],
    )
    assert sections["Processes"] == [
        ("8", "2026-11-24T00:00:00Z", "2", "1,880", "0", "memory 1, shop-binary 1"),
        ("9", "2026-11-24T00:00:00Z", "0", "0", "1", "nothing"),
    ]
    assert dict(sections["Archive"])["of"] == "2 processes"
    assert sections["Failed or cut"] == [("process 9", "process_failed", "ended")]
    assert sections["What plugins tell"] == [("8", "memory", "memory", "dumps", "3")]


def test_of_one_process_there_is_no_list_of_them(told):
    sections = told()
    assert "Processes" not in sections
    assert "of" not in dict(sections["Archive"])
    assert sections["What plugins tell"] == [("memory", "memory", "dumps", "3")]


def test_groups_are_added_up(told):
    assert told()["Groups"] == [
        ("1", "1,280", "shop-binary"),
        ("1", "600", "memory"),
        ("1", "19", "config"),
    ]


def test_without_a_manifest_there_are_files():
    contents = Contents([member("a", 1), member("link", 0, "2"), member("b", 2000)])
    (section,) = sections_of(contents)
    assert section.rows == [("2,000", "b"), ("1", "a"), ("0", "link  (a symbolic link)")]
