import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from endoscope_python import PythonPlugin


@pytest.fixture
def endoscope_settings(endoscope_settings):
    return {**endoscope_settings, "plugins": {"disabled": ["memory", "export", "threads"]}}


def test_the_entry_point_is_the_plugin():
    (entry,) = entry_points(group="endoscope", name="python")
    assert entry.load() is PythonPlugin


def test_it_keeps_the_contract(endoscope_contract):
    endoscope_contract("python")


def test_what_it_contributes_is_accepted(endoscope_diagnostics):
    contributions = endoscope_diagnostics._assembly.plugins
    (answer,) = [row for row in contributions.archive_members(10) if row.plugin == "python"]
    assert answer.failures == ()
    assert "python/modules.json" in [member.path for member in answer.items]
    (answer,) = [row for row in contributions.manifest_entries(10) if row.plugin == "python"]
    assert answer.failures == ()
    assert "executable" in [entry.name for entry in answer.items]


def test_importing_the_plugin_imports_no_reader():
    snippet = """
import json, sys
import endoscope
before = set(sys.modules)
import endoscope_python.plugin
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    command = [sys.executable, "-c", snippet]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    assert json.loads(output) == ["endoscope_python", "endoscope_python.plugin"]
