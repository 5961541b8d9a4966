"""The libraries that this process has mapped, without which native stacks cannot be named."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

DELETED = b" (deleted)"
"""What the kernel writes behind the path of a file that is not there any more."""


@dataclass(frozen=True, slots=True)
class MappedLibrary:
    """A file with code in it. `region` is where, as `/proc/self/map_files` names it.

    `path` is that of the time when it was loaded; `deleted` says that it is not there any more.
    """

    path: bytes
    region: str
    deleted: bool = False

    def open(self) -> BinaryIO:
        """Open the file that is mapped. Raises `OSError`."""
        if not self.deleted:
            return open(self.path, "rb", buffering=0)
        # Takes the right to follow this link; without it there is no way to a deleted file.
        return open(f"/proc/self/map_files/{self.region}", "rb", buffering=0)


def mapped_libraries(executable: bytes) -> list[MappedLibrary]:
    """Return all files mapped with code but `executable`, by path; none without `/proc`."""
    with suppress(OSError), open("/proc/self/maps", "rb") as maps:
        return parse_maps(maps, executable)
    return []


def parse_maps(lines: Iterable[bytes], executable: bytes) -> list[MappedLibrary]:
    r"""Read lines as of `/proc/PID/maps`; a line end in a path stands there as `\012`."""
    found: dict[bytes, MappedLibrary] = {}
    for line in lines:
        fields = line.rstrip(b"\n").split(maxsplit=5)
        if len(fields) < 6 or b"x" not in fields[1] or not fields[5].startswith(b"/"):
            continue
        path = fields[5].replace(b"\\012", b"\n")
        kept = path.removesuffix(DELETED)
        if kept not in found and kept != executable:
            region = "-".join(f"{int(end, 16):x}" for end in fields[0].split(b"-"))
            found[kept] = MappedLibrary(kept, region, deleted=kept != path)
    return [found[path] for path in sorted(found)]
