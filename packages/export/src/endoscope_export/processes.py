"""The processes that an archive is made of: this one, and in an archive of all the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from endoscope import EndoscopeError
from endoscope_export.asking import Asking, close
from endoscope_export.content import ContentError
from endoscope_export.contributor import Contributor
from endoscope_export.manifest import PROCESS_FAILED, ProcessRow
from endoscope_export.pieces import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from endoscope import (
        ArchiveMember,
        Call,
        Contributions,
        HostIdentity,
        ManifestEntry,
        OtherProcess,
        PluginAnswer,
    )

T = TypeVar("T")

_SLICE_SECONDS = 0.2
# A process that is not stopped, and is not out of its mind, answers much sooner.
_SIGN_OF_LIFE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """What the plugins of one process answered, or by `fault` why they could not be asked.

    `process` is its id, None in an archive of one process only. `is_other`: it is not this one.
    """

    process: int | None
    answers: tuple[PluginAnswer[T], ...] = ()
    is_other: bool = False
    fault: str = ""

    def contributor(self, plugin: str) -> Contributor:
        """Return whose time a plugin of this process takes."""
        return Contributor(plugin, self.process if self.is_other else None)


class Processes:
    """This process, by its `contributions`, and the `others`.

    Without `others` (None) the archive is of this process only, and says no process's id. Who has
    not answered is not asked again, so that one that hangs does not take the time of all.
    """

    def __init__(
        self,
        contributions: Contributions,
        host: HostIdentity,
        others: tuple[OtherProcess, ...] | None = None,
    ) -> None:
        self.contributions = contributions
        self._this = None if others is None else ProcessRow(host.pid, host.process_started)
        self._others = tuple(sorted(others or (), key=lambda process: process.pid))
        self._lost: set[int | None] = set()

    @property
    def rows(self) -> tuple[ProcessRow, ...]:
        """Which processes they are, by their ids; none in an archive of one process."""
        if self._this is None:
            return ()
        others = [ProcessRow(each.pid, each.process_started) for each in self._others]
        return tuple(sorted((self._this, *others), key=lambda row: row.pid))

    def begin(self, function: Callable[[], None], contributor: Contributor) -> Call[None]:
        """Begin to call a function of a contributor's. Raises `TimeLimitError` if too many hang."""
        return self.contributions.begin(function, str(contributor))

    def members(self, seconds: float) -> list[Told[ArchiveMember]]:
        """Ask all plugins of all processes together for their members: this one's come first."""
        asking = self._asking(_members, seconds)
        try:
            own = self.contributions.archive_members(seconds)
            asking.wait(seconds)
        finally:
            asking.end()
        return [self._own(own), *self._told(asking)]

    def entries(self, seconds: float) -> Generator[Pause, None, list[Told[ManifestEntry]]]:
        """Ask them for their manifest entries likewise, with pauses."""
        asking = self._asking(_entries, seconds)
        try:
            own = self.contributions.manifest_entries(seconds)
            while not asking.wait(_SLICE_SECONDS):
                yield Pause()
        finally:
            asking.end()
        return [self._own(own), *self._told(asking)]

    def require(self, process: int | None) -> None:
        """Raise `ContentError` for another process that has not answered before."""
        if process in self._lost:
            message = f"process {process} did not answer before, and is not asked again"
            raise ContentError(PROCESS_FAILED, message)

    def look_after(self, process: int | None) -> Generator[Pause, None, None]:
        """Find out, with pauses, whether another process in which a call hangs still answers."""
        if process is None:
            return
        meant = [each for each in self._others if each.pid == process]
        asking = Asking(meant, _entries, _SIGN_OF_LIFE_SECONDS, self.contributions)
        try:
            while not asking.wait(_SLICE_SECONDS):
                yield Pause()
        finally:
            asking.end()
        self._told(asking)

    def close(self) -> None:
        """Let the others free what they hold for us."""
        for process in self._others:
            close(process)

    def _asking(self, question: Callable[[OtherProcess, float], T], seconds: float) -> Asking[T]:
        answering = [each for each in self._others if each.pid not in self._lost]
        return Asking(answering, question, seconds, self.contributions)

    def _own(self, answers: tuple[PluginAnswer[T], ...]) -> Told[T]:
        return Told(self._this.pid if self._this else None, answers)

    def _told(self, asking: Asking[tuple[PluginAnswer[T], ...]]) -> list[Told[T]]:
        """Return what each said; take down who said nothing."""
        told = []
        for number, process in enumerate(asking.processes):
            try:
                told.append(Told(process.pid, asking.answer(number), is_other=True))
            except EndoscopeError as error:
                self._lost.add(process.pid)
                told.append(Told(process.pid, is_other=True, fault=error.message))
        return told


def _members(process: OtherProcess, seconds: float) -> tuple[PluginAnswer[ArchiveMember], ...]:
    return process.archive_members(seconds)


def _entries(process: OtherProcess, seconds: float) -> tuple[PluginAnswer[ManifestEntry], ...]:
    return process.manifest_entries(seconds)
