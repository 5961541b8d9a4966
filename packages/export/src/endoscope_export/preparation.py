"""From a planned member to content of a final size, secrets masked, within the limits."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from endoscope_export import content
from endoscope_export.bundle import EXPORT
from endoscope_export.content import ContentError
from endoscope_export.masking import is_text
from endoscope_export.pieces import Pause

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from endoscope import Call
    from endoscope_export.bundle import PlannedMember
    from endoscope_export.content import Content
    from endoscope_export.contributor import Contributor
    from endoscope_export.limits import Allowance
    from endoscope_export.masking import Masking
    from endoscope_export.processes import Processes

_SLICE_SECONDS = 0.2

Kind = Literal["text", "binary"]


class OlderError(Exception):
    """The member is a file that was not changed since the time that was asked for."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A member that can be sent. `redactions` and `cut` are as masking tells them.

    `kind` is binary also for text that is sent as it is.
    """

    content: Content
    kind: Kind
    redactions: Mapping[str, int] = field(default_factory=dict)
    cut: str = ""


class Preparation:
    """Prepares one member after the other. `since` is in Unix seconds."""

    def __init__(
        self,
        masking: Masking,
        allowance: Allowance,
        processes: Processes,
        since: float | None,
    ) -> None:
        self._masking = masking
        self._allowance = allowance
        self._processes = processes
        self._since = since

    def prepare(self, member: PlannedMember) -> Generator[Pause, None, Prepared]:
        """Return the member's content, which the caller closes; pause now and then.

        Raises `ContentError` for what cannot be in the archive, `OlderError`.
        """
        self._allowance.require_time()
        contributor = member.contributor
        self._processes.require(contributor.process)
        room = self._allowance.room()
        opened = yield from content.open_source(
            member.source,
            partial(self._calling, contributor),
            partial(self._opening, contributor),
        )
        try:
            self._require_new(member, opened)
            if member.verbatim or not is_text(opened):
                _require_room(opened.size, room)
                return Prepared(opened, "binary")
        except OSError as error:
            opened.close()
            raise ContentError("unreadable", f"it cannot be read: {error.strerror}") from error
        except BaseException:
            opened.close()
            raise
        masked = yield from self._masking.mask(opened, room, _Watch(self._allowance, contributor))
        return Prepared(masked.content, "text", masked.redactions, masked.cut)

    def _require_new(self, member: PlannedMember, opened: Content) -> None:
        # The executable is as old as it is, and needed whatever is asked for.
        if self._since is None or opened.modified is None or member.plugin == EXPORT:
            return
        # Times of files are whole seconds here.
        if opened.modified < math.floor(self._since):
            raise OlderError

    def _calling(
        self, contributor: Contributor, function: Callable[[], None]
    ) -> Generator[Pause, None, None]:
        """Call within what is left of the contributor's time."""
        return self._awaiting(contributor, function, lambda: self._allowance.seconds(contributor))

    def _opening(
        self, contributor: Contributor, function: Callable[[], None]
    ) -> Generator[Pause, None, None]:
        """Call within a time of its own: a file is there, however late its plugin is."""
        until = time.monotonic() + self._allowance.limits.contributor_seconds

        def left() -> float:
            self._allowance.require_time()
            seconds = until - time.monotonic()
            if seconds <= 0:
                raise ContentError("timed_out", "it was not opened within contributor_seconds")
            return seconds

        return self._awaiting(contributor, function, left)

    def _awaiting(
        self, contributor: Contributor, function: Callable[[], None], left: Callable[[], float]
    ) -> Generator[Pause, None, None]:
        """Call, and charge the contributor for it. A client who leaves meanwhile is noticed."""
        left()
        call = self._processes.begin(function, contributor)
        try:
            while not self._over(call, contributor, left()):
                yield Pause()
        except ContentError:  # its time is over: has its plugin hung, or all of its process?
            yield from self._processes.look_after(contributor.process)
            raise
        finally:
            call.abandon()
        call.outcome()

    def _over(self, call: Call[None], contributor: Contributor, left: float) -> bool:
        with self._allowance.spending(contributor):
            return call.wait(min(left, _SLICE_SECONDS))


@dataclass(frozen=True, slots=True)
class _Watch:
    """Masking takes of the time of the contributor whose text it is."""

    allowance: Allowance
    contributor: Contributor

    def running(self) -> AbstractContextManager[None]:
        return self.allowance.spending(self.contributor)

    def require_time(self) -> None:
        self.allowance.seconds(self.contributor)


def _require_room(size: int, room: int | None) -> None:
    if room is not None and size > room:
        raise ContentError(
            "too_large",
            f"it has {size} bytes, and there is room for {room} (max_file_bytes, "
            "max_archive_bytes)",
        )
