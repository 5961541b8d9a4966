"""Views of dumps, kept beside them under names of their own, so that each is made once.

All functions take the descriptor of the folder. A view's name begins with that of its dump, so
that it can go when the dump goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

_NAME = re.compile(r"\.(?P<dump>[A-Za-z0-9][A-Za-z0-9._-]*\.prof)\.[0-9a-f]{32}\.view")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def name_of(dump: str, sources: Iterable[BinaryIO], job: Mapping[str, Any]) -> str:
    """Return the name of the view that `job` makes of these very files."""
    files = [os.fstat(source.fileno()) for source in sources]
    identities = [(file.st_ino, file.st_mtime_ns, file.st_size) for file in files]
    identity = json.dumps([identities, job], sort_keys=True).encode()
    return f".{dump}.{hashlib.sha256(identity).hexdigest()[:32]}.view"


def find(folder: int, name: str) -> BinaryIO | None:
    """Return the view's content, and remember that it was used; None if it is not there."""
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return None
    with suppress(OSError):
        os.utime(descriptor)
    return os.fdopen(descriptor, "rb")


def forget(folder: int, dump: str) -> None:
    """Delete all views of a dump, as far as they can be."""
    for view in _views(folder):
        if view.dump == dump:
            with suppress(OSError):
                os.unlink(view.name, dir_fd=folder)


def trim(folder: int, keep_bytes: int) -> None:
    """Delete the views that were not used for the longest time beyond `keep_bytes` in all."""
    views = sorted(_views(folder), key=lambda view: view.used)
    size = sum(view.size for view in views)
    for view in views[:-1]:
        if size <= keep_bytes:
            break
        with suppress(OSError):
            os.unlink(view.name, dir_fd=folder)
        size -= view.size


class _View(NamedTuple):
    name: str
    dump: str
    size: int
    used: float


def _views(folder: int) -> list[_View]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = _NAME.fullmatch(entry.name)
            if name and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    found.append(_View(entry.name, name["dump"], status.st_size, status.st_mtime))
    return found
