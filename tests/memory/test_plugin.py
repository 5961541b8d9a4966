import importlib.metadata

import pytest

from endoscope_memory.plugin import MemoryPlugin
from endoscope_memory.settings import MemorySettings


def test_the_entry_point_leads_here():
    (point,) = importlib.metadata.entry_points(group="endoscope", name="memory")
    assert point.load() is MemoryPlugin
    assert MemoryPlugin.Settings is MemorySettings


def test_making_a_plugin_touches_nothing(hosted, tmp_path):
    hosted.make_plugin(tmp_path / "memory")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("in_host", [True, False])
def test_a_named_profiler_that_cannot_work_is_an_error(hosted, folder, monkeypatch, in_host):
    monkeypatch.setattr("sys.platform", "darwin")
    plugin = hosted.make_plugin(folder, profiler="jemalloc")
    (problem,) = plugin.endoscope_problems(in_host)
    assert problem.severity == "error"
    assert "not supported on this platform" in problem.message
    assert "memory.profiler: auto" in problem.remedy


@pytest.mark.parametrize(("profiler", "severity"), [("auto", "warning"), ("jemalloc", "error")])
def test_no_jemalloc_to_be_found_is_said_from_outside(hosted, folder, profiler, severity):
    plugin = hosted.make_plugin(folder, profiler=profiler, jemalloc_path=folder / "none.so")
    assert plugin.endoscope_launch_environment({}) == {}
    problem, *others = plugin.endoscope_problems(False)
    assert problem.severity == severity
    assert str(folder / "none.so") in problem.message
    assert {other.severity for other in others} <= {"info"}


def test_all_is_well_in_a_host_that_was_started_with_the_launch_environment(
    plain, hosted, folder, libjemalloc
):
    launch = hosted.make_plugin(folder).endoscope_launch_environment({})
    snippet = """
import json, sys
from hosted import ask, make_plugin
plugin = make_plugin(sys.argv[1], profiler="jemalloc", start_profiling=True)
found = [problem.severity for problem in plugin.endoscope_problems(True)]
plugin.endoscope_start()
started = ask(plugin, "GET", "/status").value["status"]
plugin.endoscope_stop()
stopped = ask(plugin, "GET", "/status").value
print(json.dumps([found, started, stopped["status"], stopped["sample_interval_bytes"]]))"""
    answer = plain(snippet, folder, **launch).answer
    assert answer == [["info", "info", "info"], "active", "inactive", 524288]


def test_all_is_well_from_outside(hosted, folder, libjemalloc, monkeypatch):
    for name in ("LD_PRELOAD", "MALLOC_CONF", "PYTHONMALLOC"):
        monkeypatch.delenv(name, raising=False)
    problems = hosted.make_plugin(folder).endoscope_problems(False)
    assert {problem.severity for problem in problems} == {"info"}
