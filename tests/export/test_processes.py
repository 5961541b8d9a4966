from __future__ import annotations

import pytest

from endoscope import ArchiveMember, ManifestEntry
from endoscope_export.content import ContentError
from endoscope_export.processes import Processes

STATUS = ArchiveMember("status.json", b"{}", "memory")
ACTIVE = ManifestEntry("heap", "active", True)


@pytest.fixture
def processes(core, host):
    core.contributed["memory"], core.entries["memory"] = [STATUS], [ACTIVE]
    return lambda: Processes(core, host, core.other_processes())


def finished(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_of_one_process_nothing_says_which(core, host, other):
    other(8)
    one = Processes(core, host)
    assert one.rows == ()
    assert [(told.process, told.is_other) for told in one.members(5)] == [(None, False)]
    assert [told.process for told in finished(one.entries(5))] == [None]


def test_this_one_comes_first_and_the_others_by_their_numbers(processes, other):
    for pid in (9000, 8):
        other(pid, {"memory": [STATUS]}, entries={"memory": [ACTIVE]})
    every = processes()
    assert [row.pid for row in every.rows] == [8, 4711, 9000]
    members = every.members(5)
    assert [(each.process, each.is_other) for each in members] == [
        (4711, False),
        (8, True),
        (9000, True),
    ]
    assert [each.answers[0].items[0].path for each in members] == ["memory/status.json"] * 3
    assert [each.answers[0].items for each in finished(every.entries(5))] == [(ACTIVE,)] * 3


def test_who_has_not_answered_is_told_and_not_asked_again(processes, other):
    gone, fine = other(8, answers=0), other(9)
    every = processes()
    assert [each.fault for each in every.members(5)] == ["", "process 8 has ended", ""]
    with pytest.raises(ContentError, match="process 8 did not answer before") as caught:
        every.require(8)
    assert caught.value.code == "process_failed"
    every.require(9)
    every.require(None)
    assert [each.process for each in finished(every.entries(5))] == [4711, 9]
    assert (gone.asked, fine.asked) == (1, 2)


def test_one_in_which_a_call_hangs_is_given_up_if_it_does_not_answer_at_all(processes, other):
    other(8, answers=0)
    other(9)
    every = processes()
    for pid in (None, 8, 9):
        finished(every.look_after(pid))
    every.require(9)
    with pytest.raises(ContentError):
        every.require(8)


def test_all_are_closed(processes, other):
    others = [other(8, answers=0), other(9)]
    every = processes()
    every.members(5)
    every.close()
    assert [each.closed for each in others] == [1, 1]
