"""Standard output: a reader that has seen enough is no error, a full disk is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from endoscope.errors import EndoscopeError


@contextmanager
def printing() -> Iterator[None]:
    """Write to standard output in the body. Raises `EndoscopeError` if it cannot be written."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Python shall not flush once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # which is `| head` that has seen enough
            raise EndoscopeError(
                f"Standard output cannot be written: {error.strerror}",
                remedy="Is the disk full that it goes to?",
            ) from error
