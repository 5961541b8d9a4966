"""`GET /memory/status` as text: of one process all of it, of several a row each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from endoscope.contributions import Problem
from endoscope.replies import Reply, pids_text
from endoscope.sizes import size
from endoscope.tables import narrow
from endoscope.values import value

_HEADS = ("pid", "status", "profiler", "since", "interval", "samples", "allocated")


def table(answer: Mapping[str, Any]) -> Table:
    """Return what one process says."""
    rows = Table(show_header=False, box=None)
    for name, of in answer.items():
        if name not in ("allocator", "cost", "problems"):
            rows.add_row(name, escape(value(of)))
    for name, of in (answer.get("cost") or {}).items():
        rows.add_row(f"cost {name}", escape(value(of)))
    for name, of in (answer.get("allocator") or {}).items():
        rows.add_row(f"allocator {name}", size(of))
    return rows


def table_of_all(replies: Sequence[Reply]) -> Table:
    """Return what tells processes apart, by process id."""
    rows = narrow(*_HEADS)
    for reply in replies:
        answer = reply.answer
        cells = (
            value(reply.pid),
            value(answer["status"]),
            value(answer["profiler"]),
            value(answer["active_since"]),
            value(answer["sample_interval_bytes"]),
            value((answer["cost"] or {}).get("samples_taken")),
            size((answer["allocator"] or {}).get("allocated")),
        )
        rows.add_row(*map(escape, cells))
    return rows


def problems_of_all(replies: Sequence[Reply]) -> Iterator[Problem]:
    """Yield every problem once; one that not all have says who has it."""
    whose: dict[Problem, list[int]] = {}
    for reply in replies:
        for problem in reply.answer["problems"]:
            whose.setdefault(Problem(**problem), []).append(reply.pid)
    for problem, pids in whose.items():
        which = "" if len(pids) == len(replies) else f" ({pids_text(pids)})"
        yield Problem(problem.severity, problem.message + which, problem.remedy)
