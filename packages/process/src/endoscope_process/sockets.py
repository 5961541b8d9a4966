"""Which socket is of which kind, and in which state."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from endoscope_process import proc

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

_TCP_STATES = (
    "unknown",
    "established",
    "syn sent",
    "syn received",
    "fin wait 1",
    "fin wait 2",
    "time wait",
    "closed",
    "close wait",
    "last ack",
    "listening",
    "closing",
    "new syn received",
)
_UNIX_TYPES = {"0001": "stream", "0002": "datagram", "0005": "packets"}
_UNIX_LISTENS = 0x10000  # the kernel's __SO_ACCEPTCON


def _tcp(columns: Sequence[str]) -> str:
    state = int(columns[3], 16)
    return f"tcp {_TCP_STATES[state] if state < len(_TCP_STATES) else 'unknown'}"


def _unix(columns: Sequence[str]) -> str:
    state = "listening" if int(columns[3], 16) & _UNIX_LISTENS else "not listening"
    return f"unix {_UNIX_TYPES.get(columns[4], 'socket')} {state}"


def _named(name: str, _: Sequence[str]) -> str:
    return name


@dataclass(frozen=True, slots=True)
class Table:
    """One file in `/proc/self/net`: in which column the inode is, and what a line says."""

    file: str
    inode_column: int
    describe: Callable[[Sequence[str]], str]


TABLES = (
    Table("tcp", 9, _tcp),
    Table("tcp6", 9, _tcp),
    Table("unix", 6, _unix),
    *(
        Table(file, 9, partial(_named, file.removesuffix("6")))
        for file in ("udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6")
    ),
    Table("netlink", 9, partial(_named, "netlink")),
    Table("packet", 8, partial(_named, "packet")),
)


def descriptions(inodes: Container[int]) -> dict[int, str]:
    """Return, for those of `inodes` that are in a table, words such as `tcp established`.

    In no table are sockets that are not bound to anything, and those of rarer families.
    """
    found: dict[int, str] = {}
    for table in TABLES:
        try:
            # The kernel goes through all the sockets of the machine for it: without the lock.
            text = proc.read(f"/proc/self/net/{table.file}")
        except OSError:  # this kernel has no such family
            continue
        found.update((inode, words) for inode, words in parse(text, table) if inode in inodes)
    return found


def parse(text: str, table: Table) -> Iterator[tuple[int, str]]:
    """Yield inode and description of each line; the heading and broken lines have none."""
    for line in text.split("\n"):
        columns = line.split()
        if len(columns) > table.inode_column and proc.is_number(columns[table.inode_column]):
            try:
                yield int(columns[table.inode_column]), table.describe(columns)
            except ValueError:
                continue
