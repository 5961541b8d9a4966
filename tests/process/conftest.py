"""What the tests of the process plugin share."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Writes over the arguments as programs do that show a title of their own in `ps`.
WRITE_TITLE = """
import ctypes
with open("/proc/self/stat", "rb") as file:
    start, end = map(int, file.read().rpartition(b")")[2].split()[45:47])

def write_title(title, length=None):
    room = title.ljust(length or end - start, b"\\0")
    ctypes.memmove(start, room, len(room))
"""


@pytest.fixture
def titled():
    """Return a function that runs a snippet, which can call `write_title`, and its output."""

    def run(snippet, *arguments, **variables):
        command = [sys.executable, "-c", WRITE_TITLE + snippet, *arguments]
        return subprocess.run(command, env=variables, capture_output=True, check=True).stdout

    return run


@pytest.fixture
def tree(tmp_path):
    """Return a function that builds a root of a file system with the files about groups.

    `lines` are those of `/proc/self/cgroup`, `mounts` are each a root, a point, a kind and
    options, `files` has contents by path below `/sys/fs/cgroup`.
    """

    def build(lines, mounts, files=()):
        write(tmp_path / "proc/self/cgroup", "".join(f"{line}\n" for line in lines))
        write(tmp_path / "proc/self/mountinfo", "".join(map(mount_line, mounts)))
        (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
        for path, content in dict(files).items():
            write(tmp_path / "sys/fs/cgroup" / path, f"{content}\n")
        return tmp_path

    return build


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="ascii")


def mount_line(mount):
    root, point, kind, options = mount.split()
    return f"30 20 0:26 {root} {point} rw,nosuid - {kind} {kind} {options}\n"
