"""What people type after `endoscope run --`, and the Python that runs it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from endoscope.errors import LaunchError

_PYTHON = re.compile(r"(python|pypy)\d*(\.\d+)*t?")
# Installers that fear long paths write a shell script which is Python at the same time.
_TRAMPOLINE = re.compile(r"""^'''exec' (?P<python>"[^"]+"|\S+) "\$0" "\$@"$""", re.MULTILINE)
_WITH_VALUE = frozenset({"W", "X"})
_PROBE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Program:
    """A Python program: the interpreter's path, and everything after it."""

    interpreter: str
    arguments: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        """Whether it runs in the very environment that this process runs in."""
        if self.interpreter == sys.executable:
            return True
        same_folder = os.path.dirname(self.interpreter) == os.path.dirname(sys.executable)
        try:
            return same_folder and os.path.samefile(self.interpreter, sys.executable)
        except OSError:  # a `#!` line may name what is not there
            return False


def resolve(words: Sequence[str]) -> Program:
    """Find the interpreter for `words`, as a shell and the kernel would.

    Accepts an interpreter with its arguments, a console script, a script with a `#!` line,
    and a `.py` file, archive or folder. Raises `LaunchError` for anything else.
    """
    command, *rest = words
    found = shutil.which(command)
    if found is None:
        if Path(command).exists():
            return _for_python_source(command, rest)
        raise LaunchError(
            f"{command}: no such program", remedy="Type it as you would without Endoscope."
        )
    if _PYTHON.fullmatch(Path(found).name):
        _refuse_without_site(rest)
        return Program(os.path.abspath(found), tuple(rest))
    shebang = _shebang(Path(found))
    if shebang:
        _refuse_without_site(shebang[1:])
        # The script's path as it is: the kernel would hand it to Python like that.
        return Program(shebang[0], (*shebang[1:], found, *rest))
    return _for_python_source(found, rest)


def _for_python_source(path: str, rest: Sequence[str]) -> Program:
    if Path(path).suffix in (".py", ".pyz", ".pyw") or (Path(path) / "__main__.py").exists():
        return Program(sys.executable, (path, *rest))
    raise LaunchError(
        f"{path} is not a Python program",
        remedy="Put `endoscope run --` in front of the Python command that it starts.",
    )


def _shebang(path: Path) -> list[str]:
    """Return the words of a `#!` line that names a Python, else nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(1024).decode("utf-8", errors="replace")
    except OSError as error:
        raise LaunchError(f"{path}: cannot be read: {error.strerror}", remedy="") from error
    if not head.startswith("#!"):
        return []
    trampoline = _TRAMPOLINE.search(head)
    if trampoline:
        return [trampoline["python"].strip('"')]
    try:
        words = shlex.split(head[2:].partition("\n")[0])
    except ValueError:  # a quotation mark without its other
        return []
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if word != "-S"]
        found = shutil.which(words[0]) if words else None
        words = [found, *words[1:]] if found else []
    return words if words and _PYTHON.fullmatch(Path(words[0]).name) else []


def _refuse_without_site(arguments: Sequence[str]) -> None:
    """Refuse `python -S`: without `site`, Python does not look where Endoscope is."""
    words = iter(arguments)
    for argument in words:
        if not argument.startswith("-") or argument.startswith("--") or argument == "-":
            return
        flags = argument[1:]
        for position, flag in enumerate(flags):
            if flag == "S":
                raise LaunchError(
                    "python -S leaves out site-packages, and Endoscope with it",
                    remedy="Run the program without -S.",
                )
            if flag in "cm":
                return
            if flag in _WITH_VALUE:
                if position == len(flags) - 1:
                    next(words, None)  # its value
                break


def check_interpreter(program: Program) -> str:
    """Return the real path of a foreign interpreter that has Endoscope in it.

    A version manager's `python` may be a script that finds the real one.
    """
    probe = "import sys, endoscope; print(sys.executable)"
    try:
        result = subprocess.run(
            [program.interpreter, "-P", "-c", probe],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LaunchError(f"{program.interpreter} cannot be run: {error}", remedy="") from error
    if result.returncode != 0:
        raise LaunchError(
            f"{program.interpreter} has no Endoscope in it",
            remedy=f"{program.interpreter} -m pip install endoscope endoscope-auth "
            f"endoscope-memory endoscope-export, or run the program with {sys.executable}.",
        )
    return result.stdout.strip()
