import json

import pytest

from endoscope_report import manifest
from endoscope_report.manifest import ManifestError, parse


def parsed(build, **changes):
    return parse(json.dumps(build.manifest(build.FILES, **changes)).encode())


def failure(path, code="raised"):
    return {"plugin": "memory", "path": path, "code": code, "message": "boom"}


def left_out(**more):
    return {"path": "shop-binary", "plugin": "export", "group": "binary", **more}


def test_members_are_rows(build):
    found = parsed(build)
    assert [row.path for row in found.members] == list(build.FILES)
    assert found.gaps() == ""


def test_what_is_not_in_it(build):
    rows = build.manifest(build.FILES)["members"]
    rows[1]["truncated"] = True
    failures = [failure("memory/status.json", "cut"), failure(None), failure("memory/x", "new")]
    found = parsed(build, members=rows, failures=failures, left_out=[left_out()])
    assert found.gaps() == "2 failed, 1 cut, 1 not asked for"
    assert [row.path for row in found.failed] == [None, "memory/x"]


def test_keys_of_later_days_may_be_there_or_not(build):
    rows = build.manifest(build.FILES)["members"]
    rows[0] |= {"content": "text", "redactions": {"key": 2}}
    selection = {"only": None, "without": [], "since": "2026-11-24T00:00:00Z"}
    found = parsed(
        build,
        members=rows,
        selection=selection,
        redactions={"key": 2},
        left_out=[left_out(reason="older"), left_out()],
        another={"x": 1},
    )
    assert [row.reason for row in found.left_out] == ["older", "group"]


def test_of_many_processes_every_row_says_whose_it_is(build):
    rows = build.manifest(build.FILES)["members"]
    rows[0]["process"] = 8
    found = parsed(
        build,
        members=rows,
        failures=[
            failure("processes/8/memory/x") | {"process": 8},
            failure(None) | {"process": 8},
            failure(None, "process_failed") | {"process": 9},
            failure(None),
        ],
        left_out=[left_out(process=8)],
        processes=[{"pid": pid, "process_started": "2026-11-24T00:00:00Z"} for pid in (8, 9)],
    )
    assert [row.process for row in found.members] == [8, None, None]
    assert [row.what for row in found.failures] == [
        "processes/8/memory/x",
        "plugin memory of process 8",
        "process 9",
        "plugin memory",
    ]
    assert [row.process for row in found.left_out] == [8]
    assert [(row.pid, row.started) for row in found.processes] == [
        (8, "2026-11-24T00:00:00Z"),
        (9, "2026-11-24T00:00:00Z"),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"members": [{"path": 1}]}, r"manifest\.json\.members\[0\]\.path is a whole number"),
        ({"members": {}}, "is an object, and not a list"),
        ({"pid": None}, "pid is null"),
        ({"processes": [{"pid": "7"}]}, r"processes\[0\]\.pid is text"),
        ({"complete": False}, "not complete"),
        ({"redactions": {"key": "x"}}, r"redactions\[key\] is text"),
        ({"selection": {"only": "memory", "without": []}}, "only is text"),
    ],
)
def test_another_shape_says_what_is_wrong(build, changes, said):
    with pytest.raises(ManifestError, match=said):
        parsed(build, **changes)


@pytest.mark.parametrize(
    "change",
    [{"sha256": "x"}, {"sha256": "A" * 64}, {"bytes": -1}, {"bytes": 10**400}],
)
def test_sizes_and_checksums_that_are_none(build, change):
    rows = build.manifest(build.FILES)["members"]
    rows[0] |= change
    with pytest.raises(ManifestError, match=r"no size or SHA-256 for config/shop\.yaml"):
        parsed(build, members=rows)


def test_a_path_that_is_named_twice(build):
    rows = build.manifest(build.FILES)["members"]
    with pytest.raises(ManifestError, match=r"names config/shop\.yaml 2 times"):
        parsed(build, members=[*rows, rows[0]])


def test_a_newer_schema_names_the_remedy(build):
    with pytest.raises(ManifestError, match="another schema") as caught:
        parsed(build, schema=2)
    assert "pip install -U endoscope-report" in caught.value.remedy


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b"[" * 100_000, b"[NaN]", b"[]", b"7", b"[" + b"1" * 5000 + b"]"],
)
def test_what_is_no_manifest(data):
    with pytest.raises(ManifestError):
        parse(data)


def test_values_are_counted_before_they_take_memory(monkeypatch):
    monkeypatch.setattr(manifest, "_MOST_VALUES", 100)
    with pytest.raises(ManifestError, match="more than 100 values"):
        parse(b"[" + b"[]," * 60 + b"[]]")
