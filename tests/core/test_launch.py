from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

from endoscope import Plugin, hookimpl
from endoscope.configuration import Configuration, read
from endoscope.errors import PluginError, SettingsError
from endoscope.launch import launch_environment
from endoscope.program import Program

PROGRAM = Program(sys.executable, ("-m", "app"))


class Preloading(Plugin):
    @hookimpl
    def endoscope_launch_environment(self, environment):
        return {"EXAMPLE_SET": "new", "EXAMPLE_OLD": environment.get("EXAMPLE_OLD", "") + "+"}


def order(environment):
    return json.loads(environment["ENDOSCOPE_RUN"])


def test_the_program_s_environment_and_the_order(section, install, monkeypatch, write):
    install("preloading", Preloading)
    monkeypatch.setenv("EXAMPLE_OLD", "old")
    monkeypatch.setenv("ENDOSCOPE_RUN", "from an outer run")
    source = read(write(yaml.safe_dump({"experimental_diagnostics": section})))
    environment = launch_environment(PROGRAM, source, ["absent"])
    assert environment["EXAMPLE_SET"] == "new"
    assert environment["EXAMPLE_OLD"] == "old+"
    assert order(environment) == {
        "pid": os.getpid(),
        "interpreter": sys.executable,
        "arguments": ["-m", "app"],
        "config": str(source.path),
        "disabled": ["absent"],
        "environment": {
            "EXAMPLE_SET": {"set": "new", "before": None},
            "EXAMPLE_OLD": {"set": "old+", "before": "old"},
        },
    }


def test_nothing_is_added_when_disabled(monkeypatch):
    monkeypatch.setenv("ENDOSCOPE_RUN", "from an outer run")
    environment = launch_environment(PROGRAM, Configuration(), [])
    assert "ENDOSCOPE_RUN" not in environment
    assert environment == {k: v for k, v in os.environ.items() if k != "ENDOSCOPE_RUN"}


def test_a_plugin_that_is_left_out_sets_nothing(section, install):
    install("preloading", Preloading)
    environment = launch_environment(PROGRAM, Configuration(values=section), ["preloading"])
    assert "EXAMPLE_SET" not in environment


def test_mistakes_are_told_before_the_program_starts(section):
    with pytest.raises(SettingsError, match="listen"):
        launch_environment(PROGRAM, Configuration(values={**section, "listen": "x"}), [])


def test_two_that_disagree(section, install):
    class Other(Plugin):
        @hookimpl
        def endoscope_launch_environment(self):
            return {"EXAMPLE_SET": "other"}

    install("preloading", Preloading)
    install("quarrelling", Other)
    with pytest.raises(PluginError, match="EXAMPLE_SET"):
        launch_environment(PROGRAM, Configuration(values=section), [])


def test_no_secret_is_in_the_order(section, write):
    source = read(write(yaml.safe_dump({"experimental_diagnostics": section})))
    environment = launch_environment(PROGRAM, source, [])
    assert "test-secret-123" not in json.dumps(environment)


# --- arrival --------------------------------------------------------------------------------------


def arrive(run, *arguments, **environment):
    """Start a Python that has `run` in its environment; return what it came to."""
    text = run if isinstance(run, str) else json.dumps(run)
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "ENDOSCOPE_RUN": text, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("nonsense", ["", "1", "[]", "{}", "null", "text", '{"pid": 1}', '"x"'])
def test_nonsense_in_the_variable_harms_no_python(nonsense):
    result = arrive(nonsense, "-c", "print('ran')")
    assert (result.returncode, result.stdout, result.stderr) == (0, "ran\n", "")


def test_a_program_that_the_host_starts_is_none_of_our_business():
    run = {"pid": 0, "interpreter": sys.executable, "arguments": ["-m", "app"],
           "config": None, "disabled": [], "environment": {}}  # fmt: skip
    program = "import os, sys; print('endoscope' in sys.modules, os.getpid() > 0)"
    result = arrive(run, "-c", program)
    assert (result.stdout, result.stderr) == ("False True\n", "")


def test_the_program_once_more_is_relaunched_with_the_environment():
    program = "import os, sys; print(os.environ.get('EXAMPLE'), 'endoscope' in sys.modules)"
    run = {"pid": 0, "interpreter": sys.executable, "arguments": ["-c", program],
           "config": None, "disabled": [],
           "environment": {"EXAMPLE": {"set": "1", "before": None}}}  # fmt: skip
    result = arrive(run, "-c", program)
    assert result.returncode == 0
    assert result.stdout == "None True\n", "it was set while Python started, and then taken away"


def test_a_worker_without_diagnostics_runs_all_the_same(tmp_path):
    program = "print('ran')"
    run = {"pid": 0, "interpreter": sys.executable, "arguments": ["-c", program],
           "config": str(tmp_path / "absent.yaml"), "disabled": [], "environment": {}}  # fmt: skip
    result = arrive(run, "-c", program)
    assert (result.returncode, result.stdout, result.stderr) == (0, "ran\n", "")


def test_a_mistake_ends_the_program_with_one_message(tmp_path):
    starter = (
        "import json, os, sys; run = json.loads(os.environ['ENDOSCOPE_RUN']); "
        "run['pid'] = os.getpid(); os.environ['ENDOSCOPE_RUN'] = json.dumps(run); "
        "os.execv(sys.executable, [sys.executable, '-c', 'print(\"ran\")'])"
    )
    run = {"pid": 0, "interpreter": "", "arguments": [], "config": str(tmp_path / "absent.yaml"),
           "disabled": [], "environment": {}}  # fmt: skip
    result = arrive(run, "-c", starter)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("endoscope: ")
    assert "cannot be read: No such file" in result.stderr
    assert "Traceback" not in result.stderr
