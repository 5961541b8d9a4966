"""What happens to running diagnostics when the host forks.

A child never uses an object of the parent's: it closes the inherited descriptors and
forgets the rest. It starts diagnostics of its own only if it asks for them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
import weakref
from typing import Any, Protocol

from endoscope import workers


class Droppable(Protocol):
    """What has descriptors to close in a forked child."""

    def drop(self) -> None:
        """Close inherited descriptors, without using anything else of the parent's."""


_WARNING = r"This process \(pid=\d+\) is multi-threaded, use of .* may lead to deadlocks"
_WARNS = sys.version_info >= (3, 12)

_running: weakref.WeakSet[Droppable] = weakref.WeakSet()
_lock = workers.allocate_lock()
_registered = False
_filter: Any = None


def watch(diagnostics: Droppable) -> None:
    """Have `diagnostics` dropped in every child that is forked from now on."""
    global _registered  # noqa: PLW0603  at-fork handlers cannot be unregistered: once is enough
    with _lock:
        _running.add(diagnostics)
        if not _registered:
            os.register_at_fork(
                before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
            )
            _registered = True


def unwatch(diagnostics: Droppable) -> None:
    """Forget `diagnostics`, which has stopped."""
    with _lock:
        _running.discard(diagnostics)


def _before() -> None:
    _lock.acquire()
    if _WARNS and _running:
        _silence_warning_about_us()


def _after_in_parent() -> None:
    _lock.release()


def _after_in_child() -> None:
    global _lock  # noqa: PLW0603  the inherited one belongs to a thread of the parent
    _lock = workers.allocate_lock()
    for diagnostics in list(_running):
        with contextlib.suppress(OSError):
            diagnostics.drop()
    _running.clear()


def _silence_warning_about_us() -> None:
    """Keep Python (3.12 and later) from warning about a fork for our threads alone.

    A host that makes errors of warnings could not fork any more. Where the host has
    threads of its own the warning is its own, and stays.
    """
    global _filter  # noqa: PLW0603  decided anew before each fork, which the warning follows
    if _filter is not None:
        with contextlib.suppress(ValueError):
            warnings.filters.remove(_filter)  # type: ignore[attr-defined]  # a list, as documented
        _filter = None
    if workers.threads_of_others() <= 1:
        warnings.filterwarnings("ignore", message=_WARNING, category=DeprecationWarning)
        _filter = warnings.filters[0]
