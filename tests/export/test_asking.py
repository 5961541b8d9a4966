from __future__ import annotations

import time

import pytest

from endoscope import EndoscopeError, TimeLimitError
from endoscope_export.asking import Asking, close


def pid_of(process, seconds):
    process.answer(seconds)
    return process.pid


def ended(asking):
    asking.wait(60)
    asking.end()
    return asking


def answers(asking):
    """Return what each process answered, or the message of its error."""
    found = []
    for number in range(len(asking.processes)):
        try:
            found.append(asking.answer(number))
        except EndoscopeError as error:
            found.append(error.message)
    return found


def test_all_are_asked_and_those_that_fail_cost_nobody_else(core, other):
    processes = [other(pid, answers=pid % 2) for pid in range(1, 20)]
    found = answers(ended(Asking(processes, pid_of, 10, core)))
    assert found[0::2] == list(range(1, 20, 2))
    assert set(found[1::2]) == {f"process {pid} has ended" for pid in range(2, 19, 2)}


def test_those_that_hang_leave_enough_for_all_others(core, other):
    """One after the other, each under the whole limit, they would take 20 times as long."""
    hanging = [other(pid, answers=0, hangs=True) for pid in range(1, 21)]
    quick = [other(pid) for pid in range(21, 221)]
    began = time.monotonic()
    asking = ended(Asking([*hanging, *quick], pid_of, 3, core))
    assert time.monotonic() - began < 3.2
    assert answers(asking)[20:] == [each.pid for each in quick]


def test_who_answers_too_late_has_not_answered_and_is_closed(core, other, wait_until):
    late = other(1)

    def hang(process, seconds):
        process.released.wait(20)
        return process.pid

    asking = Asking([late], hang, 0.2, core)
    assert not asking.wait(0.05)
    assert asking.wait(10)
    asking.end()
    with pytest.raises(EndoscopeError, match="did not answer"):
        asking.answer(0)
    assert late.closed == 0
    late.released.set()
    wait_until(lambda: late.closed == 1)


def test_an_answer_that_nobody_expected_costs_itself_only(core, other):
    def broken(process, seconds):
        if process.pid == 1:
            raise KeyError("answers")
        return process.pid

    assert answers(ended(Asking([other(1), other(2)], broken, 5, core))) == [
        "KeyError: 'answers'",
        2,
    ]


def test_nobody_is_asked_while_earlier_questions_hang(core, other, monkeypatch):
    def refuse(function, plugin):
        raise TimeLimitError(f"earlier calls of {plugin} still hang")

    monkeypatch.setattr(core, "begin", refuse)
    asking = ended(Asking([other(1)], pid_of, 5, core))
    assert answers(asking) == ["earlier calls of other processes still hang"]


def test_to_close_one_that_is_gone_is_no_error(other, monkeypatch):
    gone = other(1)
    monkeypatch.setattr(gone, "close", lambda: gone.answer(0))
    gone.answers = 0
    close(gone)
    assert gone.asked == 1
