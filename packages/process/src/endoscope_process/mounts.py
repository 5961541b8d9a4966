"""Where which file system is mounted, as this process sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_ESCAPE = re.compile(r"\\([0-7]{3})")
_ROOT, _POINT, _OPTIONS = 3, 4, 5


@dataclass(frozen=True, slots=True)
class Mount:
    """What is seen at `point` is the part of a file system of type `kind` below `root`."""

    root: str
    point: str
    kind: str
    source: str
    options: tuple[str, ...]
    file_system_options: tuple[str, ...]


def parse(mountinfo: str) -> list[Mount]:
    """Return the mounts, in order: a later one hides an earlier one at the same point.

    The form is that of proc_pid_mountinfo(5). Lines of another form are passed over.
    """
    return [mount for line in mountinfo.split("\n") if (mount := _mount(line)) is not None]


def holding(path: PurePosixPath, mounts: Sequence[Mount]) -> Mount | None:
    """Return the mount that an absolute path without symbolic links lies in."""
    holders = [mount for mount in reversed(mounts) if path.is_relative_to(mount.point)]
    return max(holders, key=lambda mount: len(PurePosixPath(mount.point).parts), default=None)


def _mount(line: str) -> Mount | None:
    of_mount, dash, of_file_system = line.partition(" - ")
    left, right = of_mount.split(" "), of_file_system.split(" ")
    if not dash or len(left) <= _OPTIONS or len(right) < len(("kind", "source", "options")):
        return None
    return Mount(
        root=_plain(left[_ROOT]),
        point=_plain(left[_POINT]),
        kind=right[0],
        source=_plain(right[1]),
        options=tuple(left[_OPTIONS].split(",")),
        file_system_options=tuple(right[2].split(",")),
    )


def _plain(text: str) -> str:
    """Put back the blanks and backslashes that the kernel writes as octal numbers."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
