"""The running executable, without which native stacks cannot be named."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO


def open_executable() -> BinaryIO:
    """Open the file that this process was started from.

    Linux's link leads to the very file that runs, even after an upgrade has replaced or
    deleted it; elsewhere, and without `/proc`, the path of the interpreter has to do.
    Raises `OSError`.
    """
    try:
        return open("/proc/self/exe", "rb", buffering=0)
    except FileNotFoundError:
        return open(os.path.realpath(sys.executable), "rb", buffering=0)
