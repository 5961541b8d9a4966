from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from endoscope.errors import LaunchError
from endoscope.program import Program, check_interpreter, resolve


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.path.dirname(sys.executable)}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    return tmp_path


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_an_interpreter_with_its_arguments(here):
    found = resolve([sys.executable, "-u", "-m", "app", "--x"])
    assert found == Program(sys.executable, ("-u", "-m", "app", "--x"))
    assert found.is_ours


def test_an_interpreter_by_its_name(here):
    name = os.path.basename(sys.executable)
    assert resolve([name, "-c", "pass"]).interpreter == str(Path(sys.executable).parent / name)
    assert resolve(["python", "app.py"]).is_ours


def test_a_python_file_runs_in_our_environment(here):
    (here / "app.py").write_text("")
    assert resolve(["app.py", "x"]) == Program(sys.executable, ("app.py", "x"))
    assert resolve(["./app.py"]) == Program(sys.executable, ("./app.py",))


def test_a_folder_with_main(here):
    (here / "app").mkdir()
    (here / "app" / "__main__.py").write_text("")
    assert resolve(["app"]) == Program(sys.executable, ("app",))


def test_a_console_script(here):
    path = script(here / "bin" / "served", f"#!{sys.executable} -s\nprint()\n")
    found = resolve(["served", "--port", "80"])
    assert found == Program(sys.executable, ("-s", str(path), "--port", "80"))


@pytest.mark.parametrize(
    "line", ["#!/usr/bin/env python", "#! /usr/bin/env -S python", "#!/usr/bin/env  python"]
)
def test_a_script_that_finds_python_by_env(here, line):
    path = script(here / "bin" / "served", line + "\n")
    found = resolve(["served"])
    assert found.arguments == (str(path),)
    assert found.is_ours


def test_a_script_behind_a_long_path(here):
    text = f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\nprint()\n"
    path = script(here / "bin" / "served", text)
    assert resolve(["served", "x"]) == Program(sys.executable, (str(path), "x"))


@pytest.mark.parametrize(
    "text",
    ["#!/bin/sh\necho\n", "\x7fELF", "", "#!\n", "#!/usr/bin/env\n", "#!/usr/bin/env 'python\n",
     "#!/usr/bin/env no-such-python\n", "#!/usr/bin/perl\n"],
)  # fmt: skip
def test_what_is_no_python_program(here, text):
    script(here / "bin" / "tool", text)
    with pytest.raises(LaunchError, match="is not a Python program") as caught:
        resolve(["tool"])
    assert "endoscope run --" in caught.value.remedy


def test_what_does_not_exist(here):
    with pytest.raises(LaunchError, match="no-such-thing: no such program"):
        resolve(["no-such-thing"])


@pytest.mark.parametrize("command", ["data.txt", "."])
def test_what_exists_but_cannot_be_run(here, command):
    (here / "data.txt").write_text("")
    with pytest.raises(LaunchError, match="is not a Python program"):
        resolve([command])


@pytest.mark.parametrize(
    "arguments", [["-S", "x.py"], ["-uS"], ["-IS", "-c", "x"], ["-X", "dev", "-S"], ["-Wx", "-S"]]
)
def test_without_site_there_is_no_endoscope(here, arguments):
    with pytest.raises(LaunchError, match="python -S leaves out site-packages"):
        resolve([sys.executable, *arguments])


@pytest.mark.parametrize(
    "arguments",
    [["x.py", "-S"], ["-c", "x", "-S"], ["-m", "x", "-S"], ["-mSx"], ["-cS"], ["-X", "S"],
     ["-WS"], ["-W", "S", "x.py", "-S"], ["-", "-S"], ["-s", "-I"]],
)  # fmt: skip
def test_an_s_that_is_somebody_else_s(here, arguments):
    assert resolve([sys.executable, *arguments]).arguments == tuple(arguments)


def test_a_foreign_interpreter_without_endoscope(here):
    path = script(here / "bin" / "python3.99", "#!/bin/sh\nexit 1\n")
    program = resolve(["python3.99", "x.py"])
    assert not program.is_ours
    with pytest.raises(LaunchError, match="has no Endoscope in it") as caught:
        check_interpreter(program)
    assert f"{path} -m pip install endoscope" in caught.value.remedy


def test_a_foreign_interpreter_with_endoscope(here):
    path = script(here / "bin" / "python3.99", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    assert check_interpreter(Program(str(path), ())) == sys.executable


def test_an_interpreter_that_cannot_be_run(here):
    with pytest.raises(LaunchError, match="cannot be run"):
        check_interpreter(Program("/no/such/python", ()))


def test_a_script_that_names_an_interpreter_which_is_not_there(here):
    missing = os.path.join(os.path.dirname(sys.executable), "python3.99")
    script(here / "bin" / "served", f"#!{missing}\n")
    program = resolve(["served"])
    assert not program.is_ours
    with pytest.raises(LaunchError):
        check_interpreter(program)
