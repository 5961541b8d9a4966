"""The directories that Endoscope writes into: its own, or none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from endoscope.errors import StartError

_REMEDY = "Set `output_directory` to a directory of this service's own."


def claim(path: Path) -> Path:
    """Make `path` (mode 0700) or accept what is there, and return it absolute.

    Refused with `StartError`: a symlink, something that is not a directory, another
    user's, one that others may write into, one that cannot be written.
    """
    path = path.absolute()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StartError(f"cannot make {path}: {reason}", remedy=_REMEDY) from error
    problem = _unusable(path, status)
    if problem:
        raise StartError(f"refuse to write into {path}: {problem}", remedy=_REMEDY)
    return path


def judge(path: Path) -> str:
    """Say why `claim` would refuse `path`, without making anything; empty if it would not."""
    path = path.absolute()
    try:
        return _unusable(path, path.lstat())
    except FileNotFoundError:
        above = next(parent for parent in path.parents if parent.exists())
        writable = os.access(above, os.W_OK | os.X_OK)
        return "" if writable else f"it does not exist, and {above} may not be written"
    except OSError as error:
        return str(error.strerror)
    except ValueError as error:
        return str(error)


def _unusable(path: Path, status: os.stat_result) -> str:
    """Say why a directory is not to be written into; empty if it is fine."""
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a directory"
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}, this process runs as {os.geteuid()}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write into it (mode {stat.S_IMODE(status.st_mode):04o})"
    if not os.access(path, os.W_OK | os.X_OK):
        return "this process may not write into it"
    return ""
