"""Views of dumps, kept beside them under names of their own, so that each is made once.

All functions take the descriptor of the folder. A view's name begins with that of its dump, and
says whether it is of several, so that it can go when the dump goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

_NAME = re.compile(
    r"\.(?P<dump>[A-Za-z0-9][A-Za-z0-9._-]*\.prof)\.[0-9a-f]{32}\.(?P<of>one|several)\.view"
)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MOST = 1000
_BLOCK_BYTES = 512  # what `st_blocks` counts


def name_of(dump: str, files: Sequence[os.stat_result], job: Mapping[str, Any]) -> str:
    """Return the name of the view that `job` makes of these very files."""
    identities = [(file.st_ino, file.st_mtime_ns, file.st_ctime_ns, file.st_size) for file in files]
    identity = json.dumps([identities, job], sort_keys=True).encode()
    of = "one" if len(files) == 1 else "several"
    return f".{dump}.{hashlib.sha256(identity).hexdigest()[:32]}.{of}.view"


def find(folder: int, name: str) -> BinaryIO | None:
    """Return the view's content, and remember that it was used; None if it is not there."""
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    # Not when it was modified: by that a client that resumes knows it again.
    with suppress(OSError):
        os.utime(descriptor, ns=(time.time_ns(), os.fstat(descriptor).st_mtime_ns))
    return os.fdopen(descriptor, "rb")


def forget(folder: int, dumps: Collection[str]) -> None:
    """Delete all views of dumps that are gone, and all of several, as far as they can be."""
    for view in _views(folder) if dumps else ():
        if view.dump in dumps or view.of_several:
            with suppress(OSError):
                os.unlink(view.name, dir_fd=folder)


def trim(folder: int, keep_bytes: int) -> None:
    """Delete the views that were not used for the longest time, beyond `keep_bytes` in all.

    Never are there more than a thousand: each is looked at whenever one is kept.
    """
    views = sorted(_views(folder), key=lambda view: view.used)
    size = sum(view.size for view in views)
    for number, view in enumerate(views):
        if size <= keep_bytes and len(views) - number <= _MOST:
            break
        with suppress(OSError):
            os.unlink(view.name, dir_fd=folder)
        size -= view.size


class _View(NamedTuple):
    name: str
    dump: str
    of_several: bool
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
                    found.append(
                        _View(
                            name=entry.name,
                            dump=name["dump"],
                            of_several=name["of"] == "several",
                            size=status.st_blocks * _BLOCK_BYTES,
                            used=status.st_atime,
                        )
                    )
    return found
