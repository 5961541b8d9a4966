"""What happens to running diagnostics when the host forks.

A child never uses an object of the parent's: it closes the inherited descriptors, forgets
the rest, and begins anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
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


logger = logging.getLogger("endoscope")

_WARNING = r"This process \(pid=\d+\) is multi-threaded, use of .* may lead to deadlocks"
_WARNS = sys.version_info >= (3, 12)

_running: weakref.WeakSet[Droppable] = weakref.WeakSet()
_registering = workers.allocate_lock()
_registered = False
_filter: Any = None
# Held while modules are imported, which takes half a second at most on an idle machine.
_importing = workers.allocate_lock()
_LONGEST_IMPORT_SECONDS = 5.0
_forking: int | None = None  # the thread that forks and holds it


def watch(diagnostics: Droppable) -> None:
    """Have `diagnostics` dropped in every child that is forked from now on."""
    global _registered  # noqa: PLW0603  at-fork handlers cannot be unregistered: once is enough
    _running.add(diagnostics)
    with _registering:
        if not _registered:
            os.register_at_fork(
                before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
            )
            _registered = True


def unwatch(diagnostics: Droppable) -> None:
    """Forget `diagnostics`, which has stopped."""
    _running.discard(diagnostics)


def watched() -> tuple[Droppable, ...]:
    """Return what is watched in this process."""
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
    # No other lock is held while this waits: the host's signal handlers run meanwhile.
    global _forking  # noqa: PLW0603  only who holds `_importing` sets it
    if _importing.acquire(timeout=_LONGEST_IMPORT_SECONDS):
        _forking = threading.get_ident()
    if _WARNS and _running:
        _silence_warning_about_us()


def _after_in_parent() -> None:
    global _forking  # noqa: PLW0603  as in `_before`
    if _forking == threading.get_ident():
        _forking = None
        _importing.release()


def _after_in_child() -> None:
    # The inherited locks belong to a thread of the parent.
    global _registering, _importing, _forking  # noqa: PLW0603  the process's own
    _registering, _importing = workers.allocate_lock(), workers.allocate_lock()
    _forking = None
    workers.forget_threads()
    for diagnostics in list(_running):
        try:
            diagnostics.drop()
        except (OSError, RuntimeError) as error:  # as where no thread can be started
            logger.warning("this forked child runs without diagnostics: %s", error)


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
