"""Files that are open while an archive is made, and what a forked child does with them.

A child inherits every descriptor, and a file that was deleted or never had a name takes its
space on the disk until the last one is closed. The child cannot close them, since objects of
the parent's, which live on in it unused, may close the same numbers later: they are made to
lead nowhere.
"""

from __future__ import annotations

import os

# For the process, as descriptors are. Operations of a dictionary are atomic.
_open: dict[int, None] = {}


def opened(descriptor: int) -> int:
    """Take down a descriptor that was opened, and return it."""
    _open[descriptor] = None
    return descriptor


def close(descriptor: int) -> None:
    """Close a descriptor that was taken down."""
    _open.pop(descriptor, None)
    os.close(descriptor)


def _lead_nowhere() -> None:
    if _open:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for descriptor in _open:
            os.dup2(null, descriptor, inheritable=False)
        os.close(null)
        _open.clear()


os.register_at_fork(after_in_child=_lead_nowhere)
