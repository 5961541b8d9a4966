"""The file systems that the process writes to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from endoscope import told
from endoscope_process import mounts, proc
from endoscope_process.mounts import Mount


@dataclass(frozen=True, slots=True)
class Space:
    """What a file system has. `available_bytes` is what is left for others than root."""

    size_bytes: int
    free_bytes: int
    available_bytes: int
    inodes: int
    free_inodes: int
    read_only: bool


def tell(output_directory: Path) -> dict[str, object]:
    """Return the file systems of the output directory and of the working directory.

    Takes as long as they take to answer: for ever, if they lie on a server that does not.
    """
    return {
        "output_directory": told(lambda: about(Path(os.path.realpath(output_directory)))),
        "working_directory": told(lambda: about(Path(os.readlink("/proc/self/cwd")))),
    }


def about(path: Path) -> dict[str, object]:
    """Return where `path`, absolute and without symbolic links, is mounted, and the space."""
    return {
        "path": str(path),
        "mount": told(partial(_mount, path)),
        "space": told(partial(space, path)),
    }


def space(path: Path) -> Space:
    """Ask the file system that `path` lies in. Raises `OSError`."""
    answer = os.statvfs(path)
    return Space(
        size_bytes=answer.f_blocks * answer.f_frsize,
        free_bytes=answer.f_bfree * answer.f_frsize,
        available_bytes=answer.f_bavail * answer.f_frsize,
        inodes=answer.f_files,
        free_inodes=answer.f_ffree,
        read_only=bool(answer.f_flag & os.ST_RDONLY),
    )


def _mount(path: Path) -> Mount | None:
    mounted = mounts.parse(proc.read("/proc/self/mountinfo"))
    return mounts.holding(PurePosixPath(path), mounted)
