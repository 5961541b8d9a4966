"""The part `stalled`: clients that ask for an archive and then read nothing of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from heap.tables import headings, row

from archive_parts import client, files, host
from archive_parts.host import Host

CLIENTS = 50


@dataclass(frozen=True)
class Results:
    """What they cost the host in all, and how many seconds one more client waits for what.

    `threads` are those of the pools, which are started when there is work for several at once.
    `alone` is the whole archive, too, before anybody had stalled.
    """

    threads: int
    megabytes: float
    first_byte: float
    whole: float
    alone: float


def measure(folder: Path, source: Path) -> Results:
    """Let clients stall, one after the other, and ask as one more."""
    with host.running(folder / "stalled", source) as running, ExitStack() as stack:
        alone = client.download(running).seconds
        running.rest()
        threads, resident = running.status("Threads"), running.status("VmRSS")
        for _ in range(CLIENTS):
            stack.enter_context(_stalled(running))
        time.sleep(1)
        running.rest()
        more = (running.status("VmRSS") - resident) * 1024 / files.MEGABYTE
        threads = running.status("Threads") - threads
        first_byte = client.beginning(running, client.GZIP).first_byte
        return Results(threads, more, first_byte, client.download(running).seconds, alone)


def table(results: Results) -> Iterator[str]:
    """Yield one line."""
    titles = [f"{CLIENTS} stalled clients", "threads", "MB each"]
    yield from headings([*titles, "first byte of one more, ms", "all of it, s", "without them, s"])
    figures = [
        f"{results.megabytes / CLIENTS:.2f}",
        f"{results.first_byte * 1000:.1f}",
        f"{results.whole:.2f}",
        f"{results.alone:.2f}",
    ]
    yield row(["", f"{results.threads:+d}", *figures])


def _stalled(running: Host) -> socket.socket:
    """Ask, read the head of the answer, and no more."""
    connection = socket.create_connection(("127.0.0.1", running.port), 60)
    headers = "".join(f"{name}: {value}\r\n" for name, value in running.headers.items())
    request = f"GET {client.path(client.GZIP)} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
    connection.sendall(request.encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(head.decode())
    return connection
