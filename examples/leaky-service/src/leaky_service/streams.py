"""The second leak: native memory, in compressors that are never finished.

To Python a compressor is an object of a few dozen bytes. The quarter of a megabyte behind
it is allocated by zlib, where `tracemalloc` and `sys.getsizeof` cannot see it.
"""

from __future__ import annotations

import zlib
from typing import Any

GREETING = b"".join(b"event: hello %d\n" % number for number in range(8_000))

_streams: list[Any] = []


def open_stream() -> bytes:
    """Begin a compressed stream, keep its compressor, and return the first bytes."""
    compressor = zlib.compressobj()
    _streams.append(compressor)
    return compressor.compress(GREETING) + compressor.flush(zlib.Z_SYNC_FLUSH)


def count() -> int:
    """Return how many streams are open."""
    return len(_streams)
