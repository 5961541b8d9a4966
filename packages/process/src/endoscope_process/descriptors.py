"""The open file descriptors, counted by what they lead to."""

from __future__ import annotations

import heapq
import resource
import stat
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from endoscope import giving_way
from endoscope_process import kernel, sockets
from endoscope_process.limits import UNLIMITED, Unlimited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from endoscope_process.kernel import FileStatus

SHOWN = 100
"""How many are shown one by one: of the highest numbers, and of the largest deleted files."""

_FOLDER = "/proc/self/fd"
_SOCKET = "socket"
_OTHER_SOCKET = "socket, not bound or of another family"
_NAMESPACES = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"}
_MODES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "fifo",
}


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One open descriptor.

    `target` is the kernel's word for what it leads to, a path if it is a file.
    `deleted_bytes` is the size of a deleted file, which its disk keeps until it is closed, or
    of memory that was made to look like a file; None for all others.
    """

    number: int
    kind: str
    target: str
    deleted_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What is kept of all descriptors, of which there may be a great many.

    Sockets are counted by inode, everything else by kind.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    sockets: Counter[int] = field(default_factory=Counter)
    last: deque[Descriptor] = field(default_factory=lambda: deque(maxlen=SHOWN))
    deleted: list[tuple[int, int, Descriptor]] = field(default_factory=list)

    def add(self, descriptor: Descriptor) -> None:
        """Count one."""
        self.last.append(descriptor)
        if descriptor.kind == _SOCKET:
            self.sockets[_inode(descriptor)] += 1
        else:
            self.kinds[descriptor.kind] += 1
        if descriptor.deleted_bytes is not None:
            row = (descriptor.deleted_bytes, descriptor.number, descriptor)
            (heapq.heappush if len(self.deleted) < SHOWN else heapq.heappushpop)(self.deleted, row)


def tell() -> dict[str, object]:
    """Count the descriptors of this process, and show some. Raises `OSError` without `/proc`."""
    tally = Tally()
    for descriptor in giving_way(open_descriptors()):
        tally.add(descriptor)
    words = sockets.descriptions(tally.sockets) if tally.sockets else {}
    kinds = tally.kinds + _sockets_by_kind(tally.sockets, words)
    return {
        "count": kinds.total(),
        "soft_limit": soft_limit(),
        "kinds": dict(sorted(kinds.items())),
        "largest_deleted": [row[-1] for row in sorted(tally.deleted, reverse=True)],
        "highest_numbers": [_with_words(descriptor, words) for descriptor in tally.last],
    }


def soft_limit() -> int | Unlimited:
    """Return how many descriptors may be open; the program itself may raise that."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft


def count() -> int:
    """Return how many descriptors are open. Raises `OSError` without `/proc`."""
    return len(kernel.numbered_entries(_FOLDER)) - 1  # the one that the listing itself takes


def open_descriptors() -> Iterator[Descriptor]:
    """Yield the open descriptors by number, without those that are closed meanwhile."""
    for number in kernel.numbered_entries(_FOLDER):
        try:
            target = kernel.link(f"{_FOLDER}/{number}")
        except OSError:
            continue
        yield describe(number, target, _status(number) if target.startswith("/") else None)


def describe(number: int, target: str, status: FileStatus | None) -> Descriptor:
    """Say what a descriptor leads to; `status` is None unless it is a file, and known."""
    if not target.startswith("/"):
        return Descriptor(number, _kind(target), target)
    if status is None:
        return Descriptor(number, "path", target)
    kind = "memfd" if target.startswith("/memfd:") else _MODES.get(stat.S_IFMT(status.mode), "path")
    lives_on = status.links == 0 and kind in {"file", "memfd"}
    return Descriptor(number, kind, target, status.size if lives_on else None)


def _kind(target: str) -> str:
    """Name what is no file: from `pipe:[7]` a pipe, from `anon_inode:[eventfd]` an eventfd."""
    name, _, rest = target.partition(":")
    if name == "anon_inode":
        return rest.strip("[]").replace("eventpoll", "epoll")
    return "namespace" if name in _NAMESPACES else name


def _status(number: int) -> FileStatus | None:
    try:
        return kernel.status(number)
    except (OSError, AttributeError):  # closed meanwhile, or not to be asked of this C library
        return None


def _inode(descriptor: Descriptor) -> int:
    return int(descriptor.target.removeprefix("socket:[").removesuffix("]"))


def _sockets_by_kind(counts: Mapping[int, int], words: Mapping[int, str]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for inode, number in counts.items():
        kinds[words.get(inode, _OTHER_SOCKET)] += number
    return kinds


def _with_words(descriptor: Descriptor, words: Mapping[int, str]) -> Descriptor:
    if descriptor.kind != _SOCKET:
        return descriptor
    return replace(descriptor, kind=words.get(_inode(descriptor), _OTHER_SOCKET))
