"""How the process was called."""

from __future__ import annotations

import os
import shlex
import sys

from endoscope_process import proc

_PATH = "/proc/self/cmdline"


def text() -> bytes:
    """Return one line that a shell would take, and a second one if there are two truths.

    The first has what the kernel shows, which is what `ps` shows: a program may have put a
    title of its own there. The second, then, has the arguments that Python was started with.
    Secrets among the arguments are written as they are: they are masked with all other text
    of the archive, and this form, `--name value`, is one in which they are found.
    """
    lines = dict.fromkeys(" ".join(map(quoted, each)) for each in (_shown(), _started_with()))
    return "".join(f"{line}\n" for line in lines if line).encode()


def is_overwritten() -> bool:
    """Say whether a title stands where the kernel keeps the arguments (and environment)."""
    return _shown() != _started_with()


def arguments(block: bytes) -> list[str]:
    """Return the arguments of a `cmdline` file, each of which ends with a NUL there."""
    return [os.fsdecode(part) for part in block.removesuffix(b"\0").split(b"\0")] if block else []


def quoted(argument: str) -> str:
    """Quote an argument for a shell, on one line of printable UTF-8, whatever is in it."""
    if argument.isprintable():
        return shlex.quote(argument)
    return "$'" + "".join(map(_escaped, argument)) + "'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def _shown() -> list[str]:
    started_with = _started_with()
    try:
        block = proc.read_bytes(_PATH)
    except OSError:  # no such file on this system
        return started_with
    if arguments(block) == started_with:
        return started_with
    return arguments(block.rstrip(b"\0"))  # a title is padded to the length of what was there


def _started_with() -> list[str]:
    return [argument for argument in list(sys.orig_argv) if type(argument) is str]
