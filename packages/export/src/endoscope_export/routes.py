"""What can be asked under `/diagnostics/export`."""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING

from endoscope import Access, BusyError, ByteStream, Parameter, Route
from endoscope_export import bundle
from endoscope_export.archive import Archive, Order
from endoscope_export.binary import open_executable
from endoscope_export.bundle import EXPORT, PlannedMember, Stage
from endoscope_export.compress import FORMATS, Compressor, compressed
from endoscope_export.selection import parse_selection

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from endoscope import PluginContext, Request
    from endoscope_export.selection import Selection
    from endoscope_export.settings import ExportSettings

_DEFAULT_FORMAT = "tar.gz"


class ExportRoutes:
    """The archive's route, and the bound on how many are made at once."""

    def __init__(self, context: PluginContext[ExportSettings]) -> None:
        self._context = context
        # One token per archive that may be made now. A deque's pop and append are atomic;
        # a lock or semaphore would be one between greenlets where gevent has patched them.
        self._turns = deque(range(context.settings.max_concurrent))

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                "GET",
                "",
                self.export,
                Access.READ,
                "One archive with everything needed to find the fault",
                (
                    Parameter("only", "member groups to include, separated by commas"),
                    Parameter("without", "member groups to leave out, separated by commas"),
                    Parameter("format", "kind of archive", choices=tuple(FORMATS)),
                ),
            ),
        )

    def export(self, request: Request) -> ByteStream:
        """Answer with an archive, made while it is being downloaded.

        Everything that can be refused is refused here, before the first byte: raises
        `BadRequestError` for groups that nobody has, `BusyError` while too many run.
        """
        selection = parse_selection(request.query)
        form = FORMATS[request.query.get("format", _DEFAULT_FORMAT)]
        with ExitStack() as held:
            self._take_turn(held)
            made = time.time()
            archive = self._archive(selection, made)
            chunks = _chunks(archive, form.compressor(), held.pop_all())
        next(chunks)
        name = f"{self._context.host.service_name}-diagnostics-{int(made)}.{form.suffix}"
        return ByteStream(chunks, name, form.media_type)

    def _take_turn(self, held: ExitStack) -> None:
        try:
            turn = self._turns.pop()
        except IndexError:
            raise BusyError(
                "As many archives as are allowed are being made already",
                remedy="Try again when one is done, or raise export.max_concurrent",
                code="export_running",
            ) from None
        held.callback(self._turns.append, turn)

    def _archive(self, selection: Selection, made: float) -> Archive:
        context = self._context
        limit = context.settings.contributor_seconds
        own = tuple(self._own_members())
        answers = context.contributions.archive_members(limit)
        selection.check(bundle.known_groups(own, answers))
        plan = bundle.plan(own, answers, selection)
        order = Order(made, context.host, selection, limit)
        return Archive(order, plan, context.contributions)

    def _own_members(self) -> Iterable[PlannedMember]:
        name = self._context.host.service_name
        yield PlannedMember(
            f"config/{name}.yaml", self._configuration, "config", EXPORT, Stage.AT_HAND
        )
        if self._context.settings.include_binary:
            yield PlannedMember(f"{name}-binary", open_executable, "binary", EXPORT, Stage.LAST)

    def _configuration(self) -> bytes:
        text = self._context.contributions.configuration()
        return text.encode("utf-8", "backslashreplace")


def _chunks(
    archive: Archive, compressor: Compressor, held: ExitStack
) -> Generator[bytes, None, None]:
    """Yield one empty chunk, which is for the handler, then the archive; give `held` back.

    A generator that has not begun runs no clean-up when it is closed, as after HEAD or for
    a client that is gone already. So the handler takes it over the first step.
    """
    with held:
        yield b""
        yield from compressed(archive.pieces(), compressor)
