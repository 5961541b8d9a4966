from __future__ import annotations

from pathlib import Path

import pytest

from endoscope import ArchiveMember, PluginAnswer, PluginFailure
from endoscope_export import bundle
from endoscope_export.bundle import PlannedMember, Stage
from endoscope_export.contributor import Contributor
from endoscope_export.processes import Told
from endoscope_export.selection import Selection


def contributed(plugin, *paths, source=b"x", group=None):
    members = (ArchiveMember(path, source, group or plugin) for path in paths)
    return PluginAnswer(plugin, tuple(members), 0.25)


def planned(own, answers, selection=Selection()):  # noqa: B008  it is frozen
    return bundle.plan(own, [Told(None, tuple(answers))], selection)


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
    plan = planned([binary], [answer])
    expected = ["memory/z", "memory/called", "memory/a.prof", "memory/b.prof", "memory/a-slow"]
    expected.append("router-binary")
    assert paths(plan) == expected


def test_the_same_members_have_the_same_order_however_they_came():
    names = ["memory/c", "memory/a", "memory/b"]
    plans = [planned([], [contributed("memory", *order)]) for order in (names, sorted(names))]
    assert paths(plans[0]) == paths(plans[1])


def test_what_was_not_asked_for_is_listed():
    answers = [contributed("memory", "memory/a"), contributed("threads", "threads/b")]
    plan = planned([own("config/router.yaml")], answers, Selection(frozenset({"memory"})))
    assert paths(plan) == ["memory/a"]
    assert [row.path for row in plan.left_out] == ["config/router.yaml", "threads/b"]


def test_groups_are_those_of_members_and_the_plugins_names():
    answers = [contributed("memory", "memory/a", group="dumps"), PluginAnswer("threads", ())]
    groups = bundle.known_groups([Told(None, tuple(answers))])
    assert groups == {"dumps", "memory", "threads"}


def test_a_group_of_the_wrong_type_is_the_plugins_own():
    answer = PluginAnswer("memory", (ArchiveMember("memory/a", b"", None),))
    assert bundle.known_groups([Told(None, (answer,))]) == {"memory"}


def test_one_path_claimed_twice_is_kept_once_and_names_both():
    members = (
        ArchiveMember("config/router.yaml", b"mine", "config"),
        ArchiveMember("config/other", b"", "config"),
    )
    plan = planned([own("config/router.yaml")], [PluginAnswer("config", members)])
    assert paths(plan) == ["config/other", "config/router.yaml"]
    (failure,) = plan.failures
    assert (failure.plugin, failure.code) == ("config", "duplicate_path")
    assert failure.path == "config/router.yaml"
    assert "export and config both" in failure.message


@pytest.mark.parametrize(
    ("first", "second"), [("memory/a", "memory/a/b"), ("memory/a/b/c", "memory/a/b")]
)
def test_a_file_cannot_also_be_a_folder(first, second):
    plan = planned([], [contributed("memory", first, second)])
    assert paths(plan) == [first]
    assert [row.path for row in plan.failures] == [second]


@pytest.mark.parametrize("name", ["manifest.txt", "manifest.json"])
def test_the_manifests_names_are_taken(name):
    plan = planned([own(name)], [])
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
    plan = planned([], [contributed("memory", path)])
    assert plan.members == ()
    assert [row.code for row in plan.failures] == ["unsafe_path"]


def test_a_hook_that_failed_is_a_failure_and_the_time_it_took_is_kept():
    failures = (
        PluginFailure("memory", "endoscope_archive_members", "ValueError: no"),
        PluginFailure("memory", "endoscope_archive_members", "late", timed_out=True),
    )
    answer = PluginAnswer("memory", (), 2.5, failures)
    plan = planned([], [answer])
    assert [row.code for row in plan.failures] == ["hook_failed", "timed_out"]
    assert plan.spent == {Contributor("memory"): 2.5}


# --- many processes ---------------------------------------------------------------------------


def many(*told):
    return bundle.plan([own("config/router.yaml")], told, Selection())


def test_what_is_of_a_process_lies_in_its_folder_and_what_is_shared_stands_once():
    def answer(content):
        shared = ArchiveMember("memory/a.prof", content, "memory", shared=True)
        return PluginAnswer("memory", (shared, ArchiveMember("memory/status", content, "memory")))

    plan = many(Told(20, (answer(b"mine"),)), Told(3, (answer(b"theirs"),), is_other=True))
    assert [(each.path, each.source, each.process) for each in plan.members] == [
        ("config/router.yaml", b"", None),
        ("memory/a.prof", b"mine", None),
        ("processes/3/memory/status", b"theirs", 3),
        ("processes/20/memory/status", b"mine", 20),
    ]


def test_processes_come_in_the_order_of_their_numbers_within_each_stage():
    def told(pid):
        members = (
            ArchiveMember("memory/now", lambda: b"", "memory"),
            ArchiveMember("memory/late", lambda: b"", "memory", slow=True),
        )
        return Told(pid, (PluginAnswer("memory", members),), is_other=True)

    assert paths(many(told(100), told(20), told(3))) == [
        "config/router.yaml",
        *(f"processes/{pid}/memory/{name}" for name in ("now", "late") for pid in (3, 20, 100)),
    ]


def test_the_time_of_a_plugin_is_its_own_in_each_process():
    answer = PluginAnswer("memory", (), 2.5)
    plan = many(Told(20, (answer,)), Told(3, (answer,), is_other=True))
    assert plan.spent == {Contributor("memory"): 2.5, Contributor("memory", 3): 2.5}


def test_rows_say_which_process_they_are_about():
    failure = PluginFailure("memory", "endoscope_archive_members", "ValueError: no")
    bad = contributed("memory", "memory/a", "memory/a", "memory/../b")
    told = [
        Told(3, (PluginAnswer("memory", (), 0.0, (failure,)),), is_other=True),
        Told(4, is_other=True, fault="process 4 has ended"),
        Told(5, (bad,), is_other=True),
    ]
    assert [(row.plugin, row.code, row.process) for row in many(*told).failures] == [
        ("memory", "hook_failed", 3),
        ("export", "process_failed", 4),
        ("memory", "duplicate_path", 5),
        ("memory", "unsafe_path", 5),
    ]
    none = bundle.plan([], told, Selection(frozenset({"config"})))
    assert {(row.plugin, row.process) for row in none.left_out} == {("memory", 5)}


def test_a_shared_file_does_not_get_into_the_folder_of_a_process():
    intruder = ArchiveMember("processes/3/memory/a", b"x", "memory", shared=True)
    plan = many(Told(20, (PluginAnswer("memory", (intruder,)),)))
    assert [row.code for row in plan.failures] == ["unsafe_path"]
