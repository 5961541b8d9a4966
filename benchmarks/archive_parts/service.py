"""The host: a small service on an event loop in the main thread, with diagnostics inside it.

    python -m archive_parts.service CONFIG

Prints one line of JSON, its ports, and obeys the lines that it reads: at `watch` it begins to
look, every millisecond, how late its event loop is; at `tell` it stops that and prints how late.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import endoscope

_STEP = 0.001
_ANSWER = {"orders": [{"id": number, "price": number * 1.19} for number in range(300)]}


class Answering(asyncio.Protocol):
    """Answers every request on a connection with the same document, made anew each time."""

    _transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what can be written to."""
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer; requests are so short that each arrives whole."""
        for _ in range(data.count(b"\r\n\r\n")):
            body = json.dumps(_ANSWER).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            self._transport.write(head + body)


class Watch:
    """Measures by how much the event loop exceeds a sleep of a millisecond."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while True:
            due = time.perf_counter() + _STEP
            await asyncio.sleep(_STEP)
            self._late.append(time.perf_counter() - due)

    def stop(self) -> list[float]:
        """Return the delays so far, in seconds."""
        self._task.cancel()
        return self._late


async def main() -> None:
    """Serve until standard input ends."""
    diagnostics = endoscope.start(sys.argv[1])
    diagnostics.wait_until_serving()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", 0)
    ports = {"own": server.sockets[0].getsockname()[1]}
    ports["diagnostics"] = diagnostics.address.port if diagnostics.address else 0
    print(json.dumps(ports), flush=True)
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    watch = None
    async for order in orders:
        if order == b"watch\n":
            watch = Watch()
        elif watch is not None:
            print(json.dumps(watch.stop()), flush=True)
    diagnostics.stop()


if __name__ == "__main__":
    asyncio.run(main())
