from __future__ import annotations

from endoscope.replies import Failure, Replies, Reply

STOPPED = {"error": "process 3 does not answer", "status": 504, "code": "x", "remedy": "Wait."}
UNABLE = {"error": "no profiler", "status": 501, "code": "y", "remedy": "Install one."}


def parsed(*rows):
    return Replies.parse({"processes": list(rows)})


def test_answers_and_failures_are_told_apart():
    replies = parsed(
        {"pid": 1, "status": 200, "answer": {"a": 1}},
        {"pid": 3, "status": 504, "error": STOPPED},
    )
    assert replies.answers == (Reply(1, {"a": 1}),)
    assert replies.failures == (Failure((3,), "process 3 does not answer", "Wait."),)
    assert len(replies.collected["processes"]) == 2


def test_an_answer_may_be_nothing():
    assert parsed({"pid": 1, "status": 200, "answer": None}).answers == (Reply(1, None),)


def test_those_that_fail_alike_are_one_failure():
    replies = parsed(
        {"pid": 1, "status": 501, "error": UNABLE},
        {"pid": 2, "status": 501, "error": UNABLE},
        {"pid": 3, "status": 504, "error": STOPPED},
    )
    assert replies.answers == ()
    assert [failure.pids for failure in replies.failures] == [(1, 2), (3,)]
    assert replies.failures[0].lines == ("1, 2  failed: no profiler", "  Install one.")
