"""Facts of this process that nobody in it can change any more."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path


def initial_environment() -> dict[str, str]:
    """Return the environment that this process was started with.

    `os.environ` does not say: what must not reach the children is taken out of it. A
    program that rewrites its own title (setproctitle) can overwrite the kernel's copy, so
    that `os.environ` fills what is missing there.
    """
    try:
        block = Path("/proc/self/environ").read_bytes()
    except OSError:  # no /proc, or the process has changed its user
        block = b""
    pairs = (os.fsdecode(entry).partition("=") for entry in block.split(b"\0") if b"=" in entry)
    return {**os.environ, **{name: value for name, _, value in pairs}}


def file_mapped_at(address: int) -> str:
    """Return the path of the file that is mapped at `address`, empty if it is not known."""
    try:
        with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as maps:
            return next((path for line in maps if (path := _path_if_inside(line, address))), "")
    except OSError:
        return ""


def _path_if_inside(line: str, address: int) -> str:
    # A line is: start-end permissions offset device inode, then the path if there is one.
    span, *_, path = (*line.rstrip("\n").split(maxsplit=5), "")[:6]
    start, _, end = span.partition("-")
    return path if int(start, 16) <= address < int(end, 16) else ""


def small_objects_reach_malloc() -> bool:
    """Return whether Python takes the memory of small objects from malloc, block by block.

    CPython counts the blocks of its own small-object allocator, pymalloc, and a running
    interpreter has some unless `PYTHONMALLOC` has put malloc in pymalloc's place. The
    variable itself proves nothing, since `-E` and `-I` make Python ignore it.
    """
    return sys.getallocatedblocks() == 0


def ignores_python_variables() -> bool:
    """Return whether this interpreter was started with `-E` or `-I`."""
    return bool(sys.flags.ignore_environment)


def uses_greenlets() -> bool:
    """Return whether greenlets are loaded, whose C stacks are copied away while others run."""
    return "greenlet._greenlet" in sys.modules


def runs_on_musl() -> bool:
    """Return whether this interpreter was built for musl instead of the GNU C library."""
    return "musl" in str(sysconfig.get_config_var("HOST_GNU_TYPE"))
