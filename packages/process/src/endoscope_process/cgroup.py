"""The control groups that this process is in, of version 1, version 2 or both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from endoscope_process import mounts, proc
from endoscope_process.limits import UNLIMITED, Unlimited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from endoscope_process.mounts import Mount

# Version 1 has no word for "no limit", only the largest number of pages there is:
# 9223372036854771712 bytes with pages of 4 KiB, another number with others.
_AS_GOOD_AS_UNLIMITED = 2**62

_KINDS = {"cgroup": 1, "cgroup2": 2}


@dataclass(frozen=True, slots=True)
class Membership:
    """One line of a `cgroup` file: a path in the hierarchy that has these controllers.

    The hierarchy of version 2 is the one whose line names none.
    """

    controllers: tuple[str, ...]
    path: str

    @property
    def version(self) -> Literal[1, 2]:
        return 1 if self.controllers else 2


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One group: its `directory`, and the `top`most directory of its hierarchy in sight."""

    version: Literal[1, 2]
    directory: Path
    top: Path

    def levels(self) -> Iterator[Path]:
        """Yield the directories whose limits hold for this group, its own one first."""
        for directory in (self.directory, *self.directory.parents):
            yield directory
            if directory == self.top:
                return


def memberships(text: str) -> list[Membership]:
    """Return what the lines `number:controllers:path` of a `cgroup` file say."""
    parts = (line.split(":", 2) for line in text.split("\n"))
    return [
        Membership(tuple(filter(None, rest[0].split(","))), rest[1])
        for _, *rest in parts
        if len(rest) == len(("controllers", "path"))
    ]


def groups(root: Path) -> dict[str, Cgroup]:
    """Return by controller the group of version 1, and under the empty name that of version 2.

    `root` is `/`, or a folder that stands for it. What is not mounted in sight is missing.
    Raises `OSError` where the kernel shows no groups at all.
    """
    text = proc.read(root / "proc/self/cgroup")
    mounted = mounts.parse(proc.read(root / "proc/self/mountinfo"))
    found = {}
    for membership in memberships(text):
        if (group := _group(membership, mounted, root)) is not None:
            found.update(dict.fromkeys(membership.controllers or ("",), group))
    return found


def group_with(controller: str, found: Mapping[str, Cgroup]) -> Cgroup:
    """Return the group that `controller` works on. Raises `LookupError` if there is none.

    A controller belongs to one version at a time: whatever is not in version 1 is in 2.
    """
    group = found.get(controller) or found.get("")
    if group is None:
        raise LookupError(f"no control group with {controller} is in sight")
    return group


def _group(membership: Membership, mounted: Sequence[Mount], root: Path) -> Cgroup | None:
    for mount in mounted:
        if _holds(mount, membership):
            top = _below(root, mount.point)
            return Cgroup(membership.version, _directory(membership.path, mount.root, top), top)
    return None


def _holds(mount: Mount, membership: Membership) -> bool:
    same_version = _KINDS.get(mount.kind) == membership.version
    return same_version and set(membership.controllers) <= set(mount.file_system_options)


def _directory(path: str, mount_root: str, top: Path) -> Path:
    """Return where a group lies below `top`, which shows what is below `mount_root`.

    In a container the path may be one that only the machine outside can follow. What is
    mounted then is the container's own group.
    """
    group = PurePosixPath(path)
    if ".." not in group.parts and group.is_relative_to(mount_root):
        directory = _below(top, str(group.relative_to(mount_root)))
        if directory.is_dir():
            return directory
    return top


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def text_in(file: Path) -> str | None:
    """Return what a file holds, without blanks around it; None if it cannot be read."""
    try:
        return proc.read(file).strip()
    except OSError:
        return None


def number_in(file: Path) -> int | Unlimited | None:
    """Return the number that a file holds; None if it holds none or cannot be read."""
    return number(text_in(file) or "")


def number(text: str) -> int | Unlimited | None:
    """Read a number of either version; None for what is none."""
    if text in {"max", "-1"}:
        return UNLIMITED
    if not proc.is_number(text):
        return None
    return UNLIMITED if int(text) >= _AS_GOOD_AS_UNLIMITED else int(text)


def numbers_in(file: Path) -> dict[str, int] | None:
    """Return the lines `name number` of a file; None if it cannot be read."""
    text = text_in(file)
    if text is None:
        return None
    pairs = (line.partition(" ") for line in text.split("\n"))
    return {name: int(value) for name, _, value in pairs if name and proc.is_number(value)}
