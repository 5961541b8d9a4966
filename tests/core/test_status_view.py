from __future__ import annotations

import io

from rich.console import Console

from endoscope import status_view
from endoscope.contributions import Problem
from endoscope.replies import Reply

ANSWER = {
    "profiling_active": True,
    "status": "active",
    "profiler": "jemalloc",
    "cost": {"samples_taken": 12345, "seconds": 0.031},
    "sample_interval_bytes": 524288,
    "active_since": "2026-11-23T10:00:00Z",
    "allocator": {"allocated": 86_100_000, "resident": 999},
    "problems": [],
}
UNABLE = {
    **ANSWER,
    "status": "not_available",
    "profiler": None,
    "cost": None,
    "sample_interval_bytes": None,
    "active_since": None,
    "allocator": None,
}
WARNING = {"severity": "warning", "message": "no jemalloc", "remedy": "Install it."}


def shown(table):
    out = io.StringIO()
    Console(file=out, width=100).print(table)
    return [line.split() for line in out.getvalue().splitlines()]


def test_one_process_says_all():
    lines = shown(status_view.table(ANSWER))
    assert ["profiling_active", "yes"] in lines
    assert ["cost", "samples_taken", "12345"] in lines
    assert ["allocator", "allocated", "86.1", "MB"] in lines


def test_each_of_several_is_a_row():
    _, first, second = shown(status_view.table_of_all([Reply(7, ANSWER), Reply(8, UNABLE)]))
    since = "2026-11-23T10:00:00Z"
    assert first == ["7", "active", "jemalloc", since, "524288", "12345", "86.1", "MB"]
    assert second == ["8", "not_available", "-", "-", "-", "-", "-"]


def test_a_problem_is_told_once_with_those_who_have_it():
    having = {**ANSWER, "problems": [WARNING]}
    everyone = [Reply(7, having), Reply(8, having)]
    assert [*status_view.problems_of_all(everyone)] == [Problem(**WARNING)]
    (problem,) = status_view.problems_of_all([*everyone, Reply(9, ANSWER)])
    assert problem.message == "no jemalloc (7, 8)"
    assert [*status_view.problems_of_all([Reply(9, ANSWER)])] == []
