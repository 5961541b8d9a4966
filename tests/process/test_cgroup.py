from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_process import cgroup
from endoscope_process.cgroup import Cgroup, Membership


def test_lines_of_both_versions():
    text = "4:cpu,cpuacct:/a\n1:name=systemd:/b:c\n0::/\nbroken\n"
    assert cgroup.memberships(text) == [
        Membership(("cpu", "cpuacct"), "/a"),
        Membership(("name=systemd",), "/b:c"),
        Membership((), "/"),
    ]


def test_version_2_alone(tree):
    root = tree(
        lines=["0::/service"], mounts=["/ /sys/fs/cgroup cgroup2 rw"], files={"service/x": ""}
    )
    assert cgroup.groups(root) == {
        "": Cgroup(2, root / "sys/fs/cgroup/service", root / "sys/fs/cgroup")
    }


def test_both_versions_at_once(tree):
    root = tree(
        lines=["3:memory:/m", "2:cpu,cpuacct:/", "0::/u"],
        mounts=[
            "/ /sys/fs/cgroup/memory cgroup rw,memory",
            "/ /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct",
            "/ /sys/fs/cgroup/unified cgroup2 rw",
        ],
        files={"memory/m/x": "", "unified/u/x": ""},
    )
    found = cgroup.groups(root)
    assert {name: group.version for name, group in found.items()} == {
        "memory": 1,
        "cpu": 1,
        "cpuacct": 1,
        "": 2,
    }
    assert found["memory"].directory == root / "sys/fs/cgroup/memory/m"
    assert cgroup.group_with("pids", found) == found[""]
    assert cgroup.group_with("cpu", found) == found["cpu"]


@pytest.mark.parametrize(
    ("path", "mount_root"),
    [
        ("/", "/"),  # a namespace of its own
        ("/docker/abc", "/docker/abc"),  # none, but only its own part is mounted
        ("/docker/abc", "/"),  # the path is one of the machine outside
        ("/../other", "/"),  # moved out of its namespace
        ("/other", "/docker/abc"),
    ],
)
def test_in_a_container_the_group_is_what_is_mounted(tree, path, mount_root):
    root = tree(lines=[f"0::{path}"], mounts=[f"{mount_root} /sys/fs/cgroup cgroup2 rw"])
    (group,) = cgroup.groups(root).values()
    assert group.directory == group.top == root / "sys/fs/cgroup"


def test_a_group_below_the_part_that_is_mounted(tree):
    root = tree(
        lines=["0::/docker/abc/inner"],
        mounts=["/docker/abc /sys/fs/cgroup cgroup2 rw"],
        files={"inner/x": ""},
    )
    assert cgroup.groups(root)[""].directory == root / "sys/fs/cgroup/inner"


def test_what_is_not_mounted_is_missing(tree):
    root = tree(lines=["3:memory:/", "0::/"], mounts=["/ /proc proc rw"])
    assert cgroup.groups(root) == {}
    with pytest.raises(LookupError, match="no control group with memory"):
        cgroup.group_with("memory", {})


def test_levels_go_up_to_what_is_mounted():
    group = Cgroup(2, Path("/sys/fs/cgroup/a/b"), Path("/sys/fs/cgroup"))
    expected = [Path("/sys/fs/cgroup/a/b"), Path("/sys/fs/cgroup/a"), Path("/sys/fs/cgroup")]
    assert list(group.levels()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1048576", 1048576),
        ("max", "unlimited"),
        ("-1", "unlimited"),
        ("9223372036854771712", "unlimited"),
        ("9223372036854710272", "unlimited"),  # with pages of 64 KiB
        ("", None),
        ("1e9", None),
        ("²", None),
    ],
)
def test_numbers(text, expected):
    assert cgroup.number(text) == expected


def test_lines_of_names_and_numbers(tmp_path):
    (tmp_path / "file").write_text("low 0\noom_kill 3\nbroken\nsome avg10=0.00\n")
    assert cgroup.numbers_in(tmp_path / "file") == {"low": 0, "oom_kill": 3}
    assert cgroup.numbers_in(tmp_path / "absent") is None


def test_this_process_has_groups_that_exist():
    found = cgroup.groups(Path("/"))
    assert found
    assert all((group.directory / "cgroup.procs").exists() for group in found.values())


@given(st.text(alphabet="0123456789:,/a.=\n") | st.text())
def test_hostile_lines_give_memberships_or_none(text):
    assert all(membership.version in {1, 2} for membership in cgroup.memberships(text))
