from __future__ import annotations

import io

from rich.console import Console

from endoscope import top_view
from endoscope.replies import Reply

STACK = {
    "bytes": 10_000_000,
    "bytes_error": 2_000_000,
    "objects": 5,
    "objects_error": 1,
    "share": 0.5,
    "frames": [
        {"function": "leak[0]", "file": "/srv/app.py", "line": 7},
        {"function": "malloc", "file": "libc.so", "line": None},
        {"function": "main", "file": None, "line": None},
    ],
}
ANSWER = {
    "profiler": "jemalloc",
    "sees": "everything",
    "profiling_since": "2026-11-24T00:19:53Z",
    "sample_interval_bytes": 524288,
    "live_bytes": 20_000_000,
    "live_bytes_error": 3_000_000,
    "resident_bytes": 100_000_000,
    "coverage": 0.2,
    "stacks_in_all": 42,
    "stacks": [STACK],
    "notes": ["a note"],
}


def shown(replies):
    out = io.StringIO()
    Console(file=out, width=100).print(top_view.table_of_all(replies))
    return out.getvalue().splitlines()[1:]


def test_the_whole_then_the_stacks():
    text = "\n".join(top_view.lines(ANSWER, frames=2))
    assert "20.0 MB ± 3.0 MB live, of what was allocated since 2026-11-24T00:19:53Z" in text
    assert "20% of 100.0 MB of resident memory" in text
    assert "jemalloc, one sample per 524288 bytes: everything\n  a note" in text
    assert " 50.0%  10.0 MB ± 2.0 MB in 5 ± 1 blocks\n        leak[0]  /srv/app.py:7\n" in text
    assert "        malloc  libc.so\n        ... 1 more\n\n... and 41 smaller stacks" in text


def test_a_frame_without_a_file():
    assert "        main" in list(top_view.lines(ANSWER, frames=3))


def test_each_of_several_is_a_row_with_where_most_of_it_is():
    nothing = {**ANSWER, "live_bytes": 0, "live_bytes_error": 0, "stacks": []}
    first, second = shown([Reply(7, ANSWER), Reply(8, nothing)])
    assert first.split() == [
        *("7", "20.0", "MB", "3.0", "MB", "100.0", "MB", "50%", "leak[0]", "/srv/app.py:7")
    ]
    assert second.split() == ["8", "0", "B", "0", "B", "100.0", "MB"]


def test_who_holds_most_comes_first_then_by_id():
    replies = [Reply(pid, {"live_bytes": live}) for pid, live in ((9, 1), (7, 1), (8, 5))]
    assert [reply.pid for reply in top_view.most_first(replies)] == [8, 7, 9]
