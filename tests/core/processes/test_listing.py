from __future__ import annotations

import os
import re
import signal
import time

import pytest

from endoscope import Plugin, ProcessFact, hookimpl
from endoscope.processes import listing


class FactsPlugin(Plugin):
    @hookimpl
    def endoscope_process_facts(self):
        return [ProcessFact("of_a_plugin", os.getpid()), ProcessFact("role", "a lie")]


def test_a_process_tells_of_itself():
    facts = listing.describe({"x": 1, "parent": "a lie"}, is_door=True).message["facts"]
    assert facts == {
        "x": 1,
        "parent": os.getppid(),
        "role": "door",
        "resident_bytes": facts["resident_bytes"],
    }
    assert facts["resident_bytes"] > 1_000_000


def test_the_memory_of_a_process_that_is_none():
    assert listing.resident_bytes(2**22 + 7) is None


def test_the_list(serve, forked):
    service = serve({"facts": FactsPlugin})
    child = forked(lambda: service.diagnostics.wait_until_serving(20))
    door, member = service.ask("/processes").json()
    assert [row["pid"] for row in (door, member)] == [os.getpid(), child]
    assert [row["role"] for row in (door, member)] == ["door", "member"]
    assert [row["parent"] for row in (door, member)] == [os.getppid(), os.getpid()]
    for row in (door, member):
        assert row["of_a_plugin"] == row["pid"]
        assert row["state"] == "serving"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["process_started"])
        assert row["uptime_seconds"] >= 0
        assert row["resident_bytes"] > 1_000_000


@pytest.mark.parametrize(("stop", "state"), [(signal.SIGSTOP, "stopped"), (signal.SIGKILL, None)])
def test_one_that_is_stopped_or_gone(serve, forked, stop, state):
    service = serve()
    child = forked(lambda: service.diagnostics.wait_until_serving(20))
    os.kill(child, stop)
    time.sleep(0.1)
    began = time.monotonic()
    rows = {row["pid"]: row for row in service.ask("/processes").json()}
    assert time.monotonic() - began < 4
    assert rows.get(child, {}).get("state") == state
    assert rows[os.getpid()]["state"] == "serving"
