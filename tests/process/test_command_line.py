import shlex
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_process import command_line

SHOW = """
import sys
from endoscope_process import command_line
sys.stdout.buffer.write(command_line.text())
"""


def test_it_is_one_line_that_a_shell_reads_back():
    arguments = ["--password", "it's secret", "", "-x=ü"]
    command = [sys.executable, "-c", "#\n" + SHOW, *arguments]
    line = subprocess.run(command, capture_output=True, check=True).stdout
    assert line.count(b"\n") == 1
    assert line.decode().endswith(f" {shlex.join(arguments)}\n")


def test_the_arguments_are_those_of_ps():
    snippet = "import os, sys; sys.stdout.flush(); os.system(f'ps -ww -o args= -p {os.getpid()}')"
    command = [sys.executable, "-c", f"{snippet}{SHOW}", "a", "b"]
    by_ps, ours = subprocess.run(command, capture_output=True, check=True, text=True).stdout.rsplit(
        "\n", 2
    )[:2]
    assert by_ps.endswith(" a b")
    assert ours.endswith(" a b")


def test_arguments_end_with_a_nul():
    assert command_line.arguments(b"python\0-c\0\0a b\0") == ["python", "-c", "", "a b"]
    assert command_line.arguments(b"") == []


def test_a_title_does_not_hide_how_it_was_started(titled):
    output = titled(f"write_title(b'router: worker 3')\n{SHOW}", "--port", "8080")
    title, started = output.decode().splitlines()
    assert title == "'router: worker 3'"
    assert started.endswith(" --port 8080")


@pytest.mark.parametrize(
    ("argument", "written"),
    [
        ("plain", "plain"),
        ("two words", "'two words'"),
        ("a\nb", r"$'a\x0ab'"),
        ("'\\\x1b", r"$'\'\\\x1b'"),
        ("\udcff", r"$'\xff'"),
        ("\u2028", r"$'\xe2\x80\xa8'"),
    ],
)
def test_control_characters_stay_on_the_line(argument, written):
    assert command_line.quoted(argument) == written


@given(st.binary(min_size=1).filter(lambda block: b"\0" not in block))
def test_any_argument_is_one_printable_word(block):
    (argument,) = command_line.arguments(block + b"\0")
    quoted = command_line.quoted(argument)
    assert quoted.isprintable()
    if not quoted.startswith("$"):
        assert shlex.split(quoted) == [argument]


def test_bash_reads_control_characters_back():
    block = bytes(range(1, 256)) + b"0a'"
    (argument,) = command_line.arguments(block + b"\0")
    script = f"printf %s {command_line.quoted(argument)}"
    found = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    assert found == block
