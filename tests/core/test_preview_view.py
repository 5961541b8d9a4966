from __future__ import annotations

import io

from rich.console import Console

from endoscope import preview_view

ANSWER = {
    "selection": {"only": None, "without": ["binary"], "since": "2026-03-01T12:00:00Z"},
    "bytes": 57_700,
    "redactions": {"key": 2, "url": 1},
    "members": [
        {
            "path": "logs/[red]app.log",
            "plugin": "logs",
            "group": "logs",
            "bytes": 57_700,
            "content": "text",
            "redactions": {"key": 2, "url": 1},
            "truncated": False,
            "process": None,
        },
        {
            "path": "memory/growth.txt",
            "plugin": "memory",
            "group": "memory",
            "bytes": None,
            "content": None,
            "redactions": None,
            "truncated": False,
            "process": None,
        },
    ],
    "left_out": [
        {
            "path": "router-binary",
            "plugin": "export",
            "group": "binary",
            "reason": "group",
            "process": None,
        },
        {
            "path": "logs/old.log",
            "plugin": "logs",
            "group": "logs",
            "reason": "older",
            "process": None,
        },
    ],
    "failures": [
        {
            "plugin": "logs",
            "path": "logs/x",
            "code": "vanished",
            "message": "it was gone",
            "process": None,
        },
        {
            "plugin": "slow",
            "path": None,
            "code": "timed_out",
            "message": "late",
            "process": None,
        },
    ],
}


def shown(answer):
    out = io.StringIO()
    Console(file=out, width=120).print(*preview_view.parts(answer), sep="\n")
    return out.getvalue()


def test_members_with_sizes_and_what_would_be_masked():
    text = shown(ANSWER)
    assert "57.7 kB" in text
    assert "key 2, url 1" in text
    assert "logs/[red]app.log" in text
    assert "made on demand" in text


def test_the_whole_and_what_will_be_missing():
    text = shown(ANSWER)
    assert "57.7 kB before compression; masked: key 2, url 1" in text
    assert "left out: router-binary (group binary)" in text
    assert "left out: logs/old.log (not changed since then)" in text
    assert "failed: logs/x: it was gone (vanished)" in text
    assert "failed: slow: late (timed_out)" in text


def test_nothing_masked():
    assert "masked: -" in shown({**ANSWER, "redactions": {}})


def test_names_of_files_move_no_cursor_whatever_they_are():
    row = {**ANSWER["members"][0], "path": "a\x1b[31mb\udc80"}
    text = shown({**ANSWER, "members": [row]})
    assert "a\\x1b[31mb\\udc80" in text


def test_a_long_path_is_there_to_its_end():
    path = "binaries/" + "/".join(f"folder-{number}" for number in range(40))
    text = shown({**ANSWER, "members": [{**ANSWER["members"][0], "path": path}]})
    assert path in "".join(char for char in text if char not in " \n│").replace("│", "")


def test_what_several_processes_have_alike_is_left_out_in_one_line():
    row = {"plugin": "logs", "group": "logs", "reason": "older"}
    rows = [row | {"path": f"processes/{pid}/logs/x", "process": pid} for pid in (7, 8)]
    rows.append(row | {"path": "processes/9/logs/y", "process": 9})
    text = shown({**ANSWER, "left_out": rows})
    assert "left out: logs/x of 2 processes (not changed since then)" in text
    assert "left out: logs/y (not changed since then)" in text


def test_a_process_that_failed_is_named():
    row = {"plugin": "export", "path": None, "code": "process_failed", "message": "it has ended"}
    text = shown({**ANSWER, "failures": [row | {"process": 7}]})
    assert "failed: export in process 7: it has ended (process_failed)" in text
