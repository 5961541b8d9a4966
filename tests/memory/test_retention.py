import pytest

from endoscope_memory import retention
from endoscope_memory.listing import Dump
from endoscope_memory.retention import Limits


def trimmed(dumps, limits, stays=()):
    """Return the names of the dumps that are left, and those that were to go, in order."""
    went = []

    def go(dump):
        went.append(dump.name)
        return dump.name not in stays

    retention.trim(dumps, limits, go)
    gone = set(went) - set(stays)
    return "".join(dump.name for dump in dumps if dump.name not in gone), "".join(went)


def dumps(pids, size=10):
    """Return dumps called a, b, c, ..., newest first, of processes."""
    return [Dump("abcdefghij"[number], size, -number, pid) for number, pid in enumerate(pids)]


@pytest.mark.parametrize(
    ("pids", "limits", "left"),
    [
        ([1, 2, 3, 4], Limits(1, 100), "abcd"),
        ([1, 1, 2, 1, 2, 3], Limits(1, 100), "acf"),
        ([1, 1, 1, 2, 2, 2], Limits(2, 100), "abde"),
        ([None, None, 1, None], Limits(2, 100), "abc"),
        ([1, 2, 3, 4], Limits(9, 30), "abc"),
        ([1, 1, 1, 2], Limits(2, 30), "abd"),  # the surplus of one process first
        ([1, 1, 1, 2], Limits(2, 20), "ab"),
        ([], Limits(1, 1), ""),
    ],
)
def test_what_is_left(pids, limits, left):
    assert trimmed(dumps(pids), limits)[0] == left


def test_the_oldest_go_first():
    assert trimmed(dumps([1, 2, 1, 1, 2]), Limits(1, 100))[1] == "edc"


def test_one_that_stays_counts():
    assert trimmed(dumps([1, 1, 1]), Limits(2, 100), stays="c") == ("ac", "cb")
    assert trimmed(dumps([1, 2, 3]), Limits(9, 20), stays="c") == ("ac", "cb")


def test_workers_that_come_and_go_do_not_fill_the_folder(monkeypatch):
    monkeypatch.setattr(retention, "MOST_DUMPS", 3)
    assert trimmed(dumps([1, 2, 3, 4, 5]), Limits(20, 1000))[0] == "abc"
