from __future__ import annotations

import io

import pytest
from rich.console import Console

from endoscope import processes_view


def row(pid, resident, **facts):
    return {
        "pid": pid,
        "parent": 1,
        "role": "member",
        "process_started": "2026-11-25T12:50:27Z",
        "uptime_seconds": 200.5,
        "resident_bytes": resident,
        "state": "serving",
        **facts,
    }


def shown(rows, width=80):
    out = io.StringIO()
    Console(file=out, width=width).print(*processes_view.parts(rows), sep="\n")
    return out.getvalue()


def marked(*megabytes):
    """Return the numbers of the processes that stand out."""
    rows = [row(n, None if mb is None else mb * 10**6) for n, mb in enumerate(megabytes)]
    lines = shown(rows).splitlines()[1 : len(rows) + 1]
    return [n for n, line in enumerate(lines) if "!" in line]


@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [
        ((100, 100, 400, 100), [2]),
        ((100, 400), [1]),
        ((100, 100, 400), [2]),
        ((400, 420, 100, 110, 90, 95), [0, 1]),
        ((100, 110, 90, 120, 130), []),
        ((100, 200, 300, 400, 500), []),  # as far apart as that, none is odd
        ((37, 37, 55, 37), []),  # the door
        ((100, 100, 145), []),
        ((100,), []),
        ((100, None), []),
        ((None, None), []),
        ((0, 100, 100, 300), [3]),
        ((), []),
    ],
)
def test_who_holds_far_more_than_its_siblings_is_marked(megabytes, expected):
    assert marked(*megabytes) == expected


def test_outliers_are_named_below_the_table_with_what_to_do():
    text = shown([row(7, 10**8), row(8, 10**8), row(9, 5 * 10**8)])
    assert "500.0 MB  5.0 !  serving" in text
    assert "far more resident memory than the others: 9\n" in text
    assert "endoscope outliers" in text
    assert "!" not in shown([row(7, 10**8), row(8, 10**8)])


def test_what_plugins_tell_is_a_column_each():
    rows = [
        row(7, 10**8, live_bytes=57_673, profiling="active", busy=True),
        row(8, 10**8, state="not answering"),
    ]
    head, first, second, *_ = shown(rows, width=120).splitlines()
    assert head.split() == [
        *("pid", "role", "parent", "up", "resident", "times"),
        *("live", "profiling", "busy", "state"),
    ]
    assert "57.7 kB  active     yes   serving" in first
    assert "-        -          -     not answering" in second


def test_what_is_not_known_is_a_dash():
    line = shown([row(7, None, parent=None), row(8, 10**8)]).splitlines()[1]
    assert line.split() == ["7", "member", "-", "3m", "20s", "-", "-", "serving"]


def test_nothing_of_a_plugin_s_moves_the_cursor_or_is_markup():
    text = shown([row(7, 10**8, note="[/odd]\x1b[31m")], width=120)
    assert "[/odd]\\x1b[31m" in text


def test_200_processes_are_200_lines_of_80_columns():
    rows = [
        row(300_000 + n, 10**8, parent=300_000, live_bytes=10**8, profiling="inactive")
        for n in range(200)
    ]
    rows[100]["resident_bytes"] = 10**9
    lines = shown(rows).splitlines()
    assert len(lines) == 203
    assert max(map(len, lines)) <= 80
