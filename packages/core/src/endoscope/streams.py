"""Bytes from a synchronous iterator to an event loop that must never wait for it.

Pull, not push: a worker thread is held only while it makes one chunk, so that a client
which stalls holds no thread, and the client's pace holds the producer back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

from endoscope.chunks import BrokenStreamError, close_chunks
from endoscope.errors import EndoscopeError
from endoscope.workers import Job, Workers

logger = logging.getLogger("endoscope.streams")

# No single chunk may take longer; what has its own limits (an export) stays below it.
_CHUNK_SECONDS = 600.0


async def pull(workers: Workers, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what `chunks` yields, made on a worker thread one chunk ahead of the client.

    An empty chunk says that there is nothing yet: it is not passed on, but a client who has
    left meanwhile is noticed.

    However this ends, `chunks.close()` is called, on a worker thread, once no `next()`
    runs any more: closing a generator while another thread is inside of it crashes
    CPython 3.11.7 and 3.12.1.
    """
    ahead = _submit(workers, chunks)
    try:
        while (chunk := await _outcome(ahead)) is not None:
            ahead = _submit(workers, chunks)
            if chunk:
                yield chunk
    finally:
        ahead.when_done(lambda: _submit_close(workers, chunks))


def _submit(workers: Workers, chunks: Iterator[bytes]) -> Job[bytes | None]:
    return workers.submit(lambda: next(chunks, None))


async def _outcome(job: Job[bytes | None]) -> bytes | None:
    # Even for a chunk that is ready: a body that never really awaits keeps the loop from
    # everybody else for as long as the socket keeps up.
    await asyncio.sleep(0)
    if not await job.wait_async(_CHUNK_SECONDS):
        raise BrokenStreamError(f"no data for {_CHUNK_SECONDS:g} seconds")
    try:
        return job.outcome()
    except Exception as error:
        # A TimeoutError that reached Quart would end the response as if it were whole.
        logger.exception("a response broke off")
        raise BrokenStreamError(str(error)) from error


def _submit_close(workers: Workers, chunks: Iterator[bytes]) -> None:
    # When the workers are stopped already, the process is ending anyway.
    with contextlib.suppress(EndoscopeError):
        workers.submit(lambda: close_chunks(chunks))
