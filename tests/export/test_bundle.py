from __future__ import annotations

from pathlib import Path

import pytest

from endoscope import ArchiveMember, PluginAnswer, PluginFailure
from endoscope_export import bundle
from endoscope_export.bundle import PlannedMember, Stage
from endoscope_export.selection import Selection


def contributed(plugin, *paths, source=b"x", group=None):
    members = (ArchiveMember(path, source, group or plugin) for path in paths)
    return PluginAnswer(plugin, tuple(members), 0.25)


def own(path, group="config"):
    return PlannedMember(path, b"", group, bundle.EXPORT, Stage.AT_HAND)


def paths(plan):
    return [member.path for member in plan.members]


def test_members_at_hand_come_first_then_called_ones_then_files_and_slow_ones():
    answer = PluginAnswer(
        "memory",
        (
            ArchiveMember("memory/b.prof", Path("/b"), "memory"),
            ArchiveMember("memory/a.prof", Path("/a"), "memory"),
            ArchiveMember("memory/z", b"", "memory"),
            ArchiveMember("memory/called", lambda: b"", "memory"),
            ArchiveMember("memory/a-slow", lambda: b"", "memory", slow=True),
        ),
    )
    binary = PlannedMember("router-binary", open, "binary", bundle.EXPORT, Stage.LAST)
    plan = bundle.plan([binary], [answer], Selection())
    expected = ["memory/z", "memory/called", "memory/a.prof", "memory/b.prof", "memory/a-slow"]
    expected.append("router-binary")
    assert paths(plan) == expected


def test_the_same_members_have_the_same_order_however_they_came():
    names = ["memory/c", "memory/a", "memory/b"]
    plans = [
        bundle.plan([], [contributed("memory", *order)], Selection())
        for order in (names, sorted(names))
    ]
    assert paths(plans[0]) == paths(plans[1])


def test_what_was_not_asked_for_is_listed():
    answers = [contributed("memory", "memory/a"), contributed("threads", "threads/b")]
    plan = bundle.plan([own("config/router.yaml")], answers, Selection(frozenset({"memory"})))
    assert paths(plan) == ["memory/a"]
    assert [row.path for row in plan.left_out] == ["config/router.yaml", "threads/b"]


def test_groups_are_those_of_members_and_the_plugins_names():
    answers = [contributed("memory", "memory/a", group="dumps"), PluginAnswer("threads", ())]
    groups = bundle.known_groups(answers)
    assert groups == {"dumps", "memory", "threads"}


def test_a_group_of_the_wrong_type_is_the_plugins_own():
    answer = PluginAnswer("memory", (ArchiveMember("memory/a", b"", None),))
    assert bundle.known_groups([answer]) == {"memory"}


def test_one_path_claimed_twice_is_kept_once_and_names_both():
    members = (
        ArchiveMember("config/router.yaml", b"mine", "config"),
        ArchiveMember("config/other", b"", "config"),
    )
    plan = bundle.plan([own("config/router.yaml")], [PluginAnswer("config", members)], Selection())
    assert paths(plan) == ["config/other", "config/router.yaml"]
    (failure,) = plan.failures
    assert (failure.plugin, failure.code) == ("config", "duplicate_path")
    assert failure.path == "config/router.yaml"
    assert "export and config both" in failure.message


@pytest.mark.parametrize(
    ("first", "second"), [("memory/a", "memory/a/b"), ("memory/a/b/c", "memory/a/b")]
)
def test_a_file_cannot_also_be_a_folder(first, second):
    plan = bundle.plan([], [contributed("memory", first, second)], Selection())
    assert paths(plan) == [first]
    assert [row.path for row in plan.failures] == [second]


@pytest.mark.parametrize("name", ["manifest.txt", "manifest.json"])
def test_the_manifests_names_are_taken(name):
    plan = bundle.plan([own(name)], [], Selection())
    assert [row.code for row in plan.failures] == ["duplicate_path"]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "memory/../x",
        "memory/./x",
        "memory//x",
        "memory/",
        "other/x",
        "memory/nul\0",
        "memory/\ud800",
        "memory/" + "x" * 256,
        "memory/" + "x/" * 2100 + "x",
    ],
)
def test_a_path_that_cannot_be_unpacked_safely_is_a_failure(path):
    plan = bundle.plan([], [contributed("memory", path)], Selection())
    assert plan.members == ()
    assert [row.code for row in plan.failures] == ["unsafe_path"]


def test_a_hook_that_failed_is_a_failure_and_the_time_it_took_is_kept():
    failures = (
        PluginFailure("memory", "endoscope_archive_members", "ValueError: no"),
        PluginFailure("memory", "endoscope_archive_members", "late", timed_out=True),
    )
    answer = PluginAnswer("memory", (), 2.5, failures)
    plan = bundle.plan([], [answer], Selection())
    assert [row.code for row in plan.failures] == ["hook_failed", "timed_out"]
    assert plan.spent == {"memory": 2.5}
