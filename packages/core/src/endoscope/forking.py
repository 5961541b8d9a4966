"""What happens to running diagnostics when the host forks.

A child never uses an object of the parent's: it closes the inherited descriptors, forgets
the rest, and begins anew.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
import weakref
from collections.abc import Iterator
from typing import Any, Protocol

from endoscope import workers


class Droppable(Protocol):
    """What has descriptors to close in a forked child."""

    def drop(self) -> None:
        """Close inherited descriptors, without using anything else of the parent's.

        Called again in a child's child, also if nothing has begun anew in between.
        """


_WARNING = r"This process \(pid=\d+\) is multi-threaded, use of .* may lead to deadlocks"
_WARNS = sys.version_info >= (3, 12)

_running: weakref.WeakSet[Droppable] = weakref.WeakSet()
_lock = workers.allocate_lock()
_registered = False
_filter: Any = None
# Held while modules are imported, which takes half a second at most on an idle machine.
_importing = workers.allocate_lock()
_LONGEST_IMPORT_SECONDS = 5.0
_held_off = False


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


def watched() -> tuple[Droppable, ...]:
    """Return what is watched in this process."""
    with _lock:
        return tuple(_running)


@contextlib.contextmanager
def forks_held_off() -> Iterator[None]:
    """Let the host fork only before or after: for imports on a thread of ours.

    A child that is forked in the middle would inherit the lock of a module that is half
    imported, held by nobody, and wait for ever when it imports the same.
    """
    with _importing:
        yield


def _before() -> None:
    global _held_off  # noqa: PLW0603  of the one fork that holds `_lock`
    _lock.acquire()
    _held_off = _importing.acquire(timeout=_LONGEST_IMPORT_SECONDS)
    if _WARNS and _running:
        _silence_warning_about_us()


def _after_in_parent() -> None:
    if _held_off:
        _importing.release()
    _lock.release()


def _after_in_child() -> None:
    # The inherited ones belong to a thread of the parent.
    global _lock, _importing
    _lock, _importing = workers.allocate_lock(), workers.allocate_lock()
    workers.forget_threads()
    for diagnostics in list(_running):
        with contextlib.suppress(OSError, RuntimeError):  # as where no thread can be started
            diagnostics.drop()


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
