import json
import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from endoscope_process import environment
from endoscope_process.environment import Changes

SHOW = """
import os
os.environ.pop("GOES", None); os.environ["COMES"] = "value-3"; os.environ["CHANGES"] = "value-4"
from endoscope import json_document
from endoscope_process import environment
print(json_document(environment.tell).decode())
"""
START = {"GOES": "value-1", "CHANGES": "value-2", "STAYS": "value-5", "PATH": "/bin"}


def test_names_now_at_the_start_and_the_difference():
    command = [sys.executable, "-c", SHOW]
    output = subprocess.run(command, env=START, capture_output=True, check=True).stdout
    found = json.loads(output)
    assert {"COMES", "CHANGES", "STAYS"} <= set(found["names"])
    assert found["names_at_start"] == sorted(START)
    assert "COMES" in found["since_start"]["added"]
    assert found["since_start"]["removed"] == ["GOES"]
    assert found["since_start"]["changed"] == ["CHANGES"]
    assert b"value" not in output


def test_what_a_title_has_left_of_a_secret_is_not_taken_for_a_name(titled):
    snippet = f"write_title(b'title ' + b'x' * (end - start), end - start + 40)\n{SHOW}"
    start = {"A_TOKEN": "secret-" * 8 + "tail==", "PATH": "/bin"}
    output = titled(snippet, **start)
    found = json.loads(output)
    assert "A_TOKEN" in found["names"]
    for part in ("names_at_start", "since_start"):
        assert "a title" in found[part]["error"]
    assert b"secret" not in output
    assert b"tail" not in output


def test_names_are_those_of_the_process(monkeypatch):
    monkeypatch.setenv("ENDOSCOPE_TEST_LATE", "1")
    names = environment.tell()["names"]
    assert names == sorted(os.environ)
    assert "ENDOSCOPE_TEST_LATE" in names


def test_changes_are_by_value():
    before, after = {"a": "1", "b": "1", "c": "1"}, {"b": "1", "c": "2", "d": "1"}
    assert environment.changes(before, after) == Changes(["d"], ["a"], ["c"])


@given(st.binary())
def test_any_block_gives_names_without_equals_signs(block):
    assert all(name and "=" not in name for name in environment.variables(block))
