"""The leaks of the leaky service, named by function, file and line while it runs."""

from __future__ import annotations

import json

import pytest

INTERVAL = 65536


@pytest.fixture
def leaky(leaky_service):
    """Run the leaky service under load, profiled in a certain way."""

    def start(**memory):
        host, traffic = leaky_service(**{"sample_interval_bytes": INTERVAL, **memory})
        host.post("/memory/start")
        traffic(4)
        return host

    return start


def names(stack):
    return [frame["function"] for frame in stack["frames"]]


def python_leak(stack):
    """Return whether it is the Python leak, as function, file and line of the source say."""
    return any(
        frame["function"].startswith("remember_session")
        and frame["file"].endswith("leaky_service/sessions.py")
        and frame["line"] in range(10, 30)
        for frame in stack["frames"][:2]
    )


def native_leak(stack):
    return any(
        frame["function"] == "open_stream"
        and frame["file"].endswith("leaky_service/streams.py")
        and frame["line"] in range(10, 30)
        for frame in stack["frames"]
    )


def share_of(answer, leak):
    return sum(stack["share"] for stack in answer["stacks"] if leak(stack))


def test_jemalloc_names_both(leaky, needs):
    needs("libjemalloc")
    host = leaky(profiler="jemalloc")
    answer = host.get("/memory/top?limit=50")
    first, second = answer["stacks"][:2]
    assert {python_leak(first), python_leak(second)} == {True, False}
    assert {native_leak(first), native_leak(second)} == {True, False}
    assert 0.2 < share_of(answer, python_leak) < 0.8
    assert 0.2 < share_of(answer, native_leak) < 0.8
    assert 0 < answer["live_bytes_error"] < answer["live_bytes"] < answer["resident_bytes"]
    assert answer["coverage"] == pytest.approx(
        answer["live_bytes"] / answer["resident_bytes"], 0.01
    )
    assert (answer["profiler"], answer["sample_interval_bytes"]) == ("jemalloc", INTERVAL)
    shown = host.cli("top", "-n", "2")
    assert shown.returncode == 0, shown.stderr
    assert "leaky_service/sessions.py:" in shown.stdout
    assert "leaky_service/streams.py:" in shown.stdout
    assert json.loads(host.cli("top", "--json", "-n", "1").stdout)["stacks_in_all"] > 2


def test_the_sampler_names_the_python_one(leaky):
    host = leaky(profiler="sampler")
    answer = host.get("/memory/top")
    assert python_leak(answer["stacks"][0])
    assert share_of(answer, python_leak) > 0.5
    assert share_of(answer, native_leak) < 0.1
    status = host.get("/memory/status")
    assert (status["profiler"], status["allocator"]) == ("sampler", None)
    assert status["cost"]["samples_taken"] > 100
    assert status["cost"]["seconds"] > 0


def test_mixed_stacks_show_the_native_leaf_and_who_called_it(leaky, needs):
    needs("libjemalloc")
    answer = leaky(profiler="jemalloc", stacks="mixed").get("/memory/top?limit=50")
    stack = next(stack for stack in answer["stacks"] if native_leak(stack))
    shown = names(stack)
    assert shown[0] == "deflateInit2_"
    assert "libz" in stack["frames"][0]["file"]
    assert shown.index("open_stream") < shown.index("events")
    assert share_of(answer, native_leak) > 0.2


def test_native_stacks_show_no_python(leaky, needs):
    needs("libjemalloc")
    answer = leaky(profiler="jemalloc", stacks="native").get("/memory/top?limit=50")
    stack = next(stack for stack in answer["stacks"] if "deflateInit2_" in names(stack))
    assert all(frame["line"] is None for frame in stack["frames"])


@pytest.mark.parametrize("profiler", ["tracemalloc", "memray"])
def test_the_exact_ones_name_the_python_leak_when_asked(leaky, needs, profiler):
    needs(f"import {profiler}")
    host = leaky(profiler=profiler, sample_interval_bytes=524288)
    answer = host.get("/memory/top?limit=50")
    assert any(
        frame["file"] and frame["file"].endswith("leaky_service/sessions.py")
        for frame in answer["stacks"][0]["frames"] + answer["stacks"][1]["frames"]
    )
    assert (answer["sample_interval_bytes"], answer["live_bytes_error"]) == (1, 0)
    assert "dear" in host.get("/memory/status")["cost"]["expected"]
    host.post("/memory/stop")
    kept = host.get("/memory/top")
    assert kept["live_bytes"] > answer["live_bytes"] / 2
    assert host.post("/memory/dump")["notes"] == []
    captures = list((host.output / "memory").glob("*.memray"))
    assert len(captures) == (profiler == "memray")
