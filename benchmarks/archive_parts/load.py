"""The client of a busy host: asks as often as it gets answers.

    python -m archive_parts.load PORT CONNECTIONS SECONDS

Prints how many requests were answered per second.
"""

from __future__ import annotations

import asyncio
import sys
import time

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def ask(port: int, until: float) -> int:
    """Ask over one connection until it is time; return how many answers there were."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers, size = 0, 0
    while time.monotonic() < until:
        writer.write(_REQUEST)
        if not size:
            head = await reader.readuntil(b"\r\n\r\n")
            size = len(head) + int(head.partition(b"Content-Length:")[2].split()[0])
            await reader.readexactly(size - len(head))
        else:
            await reader.readexactly(size)
        answers += 1
    writer.close()
    return answers


async def main() -> None:
    """Ask over all connections."""
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    until = time.monotonic() + seconds
    answers = await asyncio.gather(*(ask(port, until) for _ in range(connections)))
    print(sum(answers) / seconds)


if __name__ == "__main__":
    asyncio.run(main())
