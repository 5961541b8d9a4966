"""SHA-256 of a file, told while its bytes are compressed."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from endoscope import Call

_PATIENCE_SECONDS = 60.0


class Begin(Protocol):
    """Begins to call a function on another thread."""

    def __call__(self, function: Callable[[], None], /) -> Call[None]: ...


class Checksum:
    """Takes bytes piece by piece, with `begin` on another thread: a third of the time is saved.

    A piece must stay as it is until `settle` has returned.
    """

    def __init__(self, begin: Begin | None) -> None:
        self._sha256 = hashlib.sha256()
        self._begin = begin
        self._call: Call[None] | None = None

    def add(self, piece: memoryview) -> None:
        """Take the next piece, when the one before is settled."""
        update = partial(self._sha256.update, piece)
        if self._begin is None:
            update()
        else:
            self._call = self._begin(update)

    def settle(self) -> None:
        """Wait until the latest piece is taken."""
        if self._call is not None:
            self._call.wait(_PATIENCE_SECONDS)
            self._call.outcome()
            self._call = None

    def hexadecimal(self) -> str:
        """Return the checksum of all pieces."""
        self.settle()
        return self._sha256.hexdigest()
