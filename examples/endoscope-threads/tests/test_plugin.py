from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

import pluggy
import pytest

from endoscope import Contributions, HostIdentity, Json, PluginContext, Request, Text, hookspecs
from endoscope_threads.plugin import Stack, ThreadsPlugin, ThreadsSettings, render, take_stacks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def wait_in_a_recognisable_function(entered: threading.Event, leave: threading.Event) -> None:
    entered.set()
    leave.wait()


@contextmanager
def waiting_thread() -> Iterator[threading.Thread]:
    entered, leave = threading.Event(), threading.Event()
    thread = threading.Thread(
        target=wait_in_a_recognisable_function, args=(entered, leave), name="waiter", daemon=True
    )
    thread.start()
    entered.wait()
    yield thread
    leave.set()
    thread.join()


@pytest.fixture
def plugin(tmp_path: Path) -> ThreadsPlugin:
    host = HostIdentity(
        "router", "2.5.1", os.getpid(), 0.0, 0.0, tmp_path, "0.1.0", "3.11", sys.platform
    )
    nobody_else = cast("Contributions", None)
    logger = logging.getLogger("endoscope.threads")
    return ThreadsPlugin(
        PluginContext("threads", ThreadsSettings(), tmp_path, host, logger, nobody_else)
    )


def test_stacks_show_what_a_thread_is_doing() -> None:
    with waiting_thread() as thread:
        (stack,) = [stack for stack in take_stacks(100) if stack.name == "waiter"]
    assert (stack.native_id, stack.daemon) == (thread.native_id, True)
    assert any(line.endswith(" wait_in_a_recognisable_function") for line in stack.frames)
    assert stack.frames[-1].endswith(" Condition.wait")


def test_the_limit_keeps_the_innermost_frames() -> None:
    with waiting_thread():
        (stack,) = [stack for stack in take_stacks(1) if stack.name == "waiter"]
    (line,) = stack.frames
    assert line.endswith(" Condition.wait")


def test_text_is_one_paragraph_per_thread() -> None:
    stacks = [Stack("a", 7, True, ["x.py:1 main", "x.py:9 work"]), Stack(None, None, None, [])]
    assert list(render(stacks)) == [
        "a (native id 7, daemon)",
        "    x.py:1 main",
        "    x.py:9 work",
        "",
        "a thread without a name (native id None)",
        "",
    ]


def test_the_route_answers_in_both_formats(plugin: ThreadsPlugin) -> None:
    (route,) = plugin.endoscope_routes()
    with waiting_thread():
        in_json = route.handler(Request("GET", route.path))
        in_text = route.handler(Request("GET", route.path, query={"format": "text"}))
    assert isinstance(in_json, Json)
    assert "waiter" in [stack["name"] for stack in in_json.value]
    assert isinstance(in_text, Text)
    assert "waiter (native id" in in_text.text


def test_the_archive_gets_the_stacks_of_the_moment(plugin: ThreadsPlugin) -> None:
    (member,) = plugin.endoscope_archive_members()
    assert (member.path, member.group) == ("stacks.txt", "threads")
    assert callable(member.source)
    with waiting_thread():
        assert b"wait_in_a_recognisable_function" in cast("bytes", member.source())


def test_the_manifest_counts_threads(plugin: ThreadsPlugin) -> None:
    (before,) = plugin.endoscope_manifest_entries()
    with waiting_thread():
        (during,) = plugin.endoscope_manifest_entries()
    assert cast("int", during.value) == cast("int", before.value) + 1


def test_every_hook_is_one_that_endoscope_knows(plugin: ThreadsPlugin) -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()


def test_the_entry_point_is_the_plugin() -> None:
    (entry,) = entry_points(group="endoscope", name="threads")
    assert entry.load() is ThreadsPlugin
