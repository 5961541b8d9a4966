"""What an archive is made of on its way to the client, before it is compressed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

Data = bytes | memoryview
"""Bytes of the tar. Valid until the next piece is asked for."""

FLUSH = b""
"""Asks the compressor to let out all that it has so far."""


@dataclass(frozen=True, slots=True)
class Pause:
    """There is nothing yet, and this is a good place to stop."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Ends the compressed stream; what follows begins one of its own.

    Until the next cut, `copy` is given what comes out of the compressor.
    """

    copy: Callable[[bytes], None] | None = None


@dataclass(frozen=True, slots=True)
class Compressed:
    """A whole compressed stream, or a part of one, that goes out as it is: only between cuts."""

    data: bytes


Piece = Data | Pause | Cut | Compressed
Pieces = Generator[Piece, None, None]
