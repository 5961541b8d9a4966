"""GNU tar and a compressor behind it, as a shell would start them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from heap.tables import say

from archive_parts.took import Took

_READ_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Peer:
    """A way to make a compressed tar that is not ours."""

    compressor: tuple[str, ...]

    @property
    def title(self) -> str:
        r"""What a shell would be told, as a table in Markdown has it."""
        return rf"`tar \| {' '.join(self.compressor)}`"

    def pack(self, folder: Path, before: tuple[str, ...] = ()) -> Took:
        """Pack `folder`, discard the result; `before` is put before each command line."""
        began = time.monotonic()
        tar = subprocess.Popen([*before, "tar", "-c", "-C", folder, "."], stdout=subprocess.PIPE)
        compressor = subprocess.Popen(
            [*before, *self.compressor], stdin=tar.stdout, stdout=subprocess.PIPE
        )
        assert tar.stdout is not None  # noqa: S101  for the type checker
        assert compressor.stdout is not None  # noqa: S101  likewise
        tar.stdout.close()
        with compressor.stdout as pipe:
            size = _discard(pipe.fileno())
        cpu = _ended(tar) + _ended(compressor)
        return Took(time.monotonic() - began, cpu, size)


GZIP = Peer(("gzip", "-1"))
PIGZ = Peer(("pigz", "-p2", "-1"))
ZSTD = Peer(("zstd", "-1"))
PEERS = (GZIP, PIGZ, ZSTD)


def installed() -> list[Peer]:
    """Return the peers that are there, and tell of those that are not."""
    found = [peer for peer in PEERS if shutil.which(peer.compressor[0])]
    for peer in PEERS:
        if peer not in found:
            say(f"left out, since it is not installed: {peer.title}")
    return found


def _discard(descriptor: int) -> int:
    room = bytearray(_READ_BYTES)
    size = 0
    while read := os.readv(descriptor, [room]):
        size += read
    return size


def _ended(process: subprocess.Popen[bytes]) -> float:
    """Wait for it; return the seconds of CPU that it has used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{process.args!r} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime
