"""What can be asked under `/diagnostics/export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from endoscope import Access, Parameter, Reach, Route, forks_held_off
from endoscope_export.formats import FORMAT_NAMES
from endoscope_export.turns import Turns

if TYPE_CHECKING:
    from endoscope import Answer, PluginContext, Request
    from endoscope_export.settings import ExportSettings


class ExportRoutes:
    """The archive's route, and the bound on how many are made at once."""

    def __init__(self, context: PluginContext[ExportSettings]) -> None:
        self._context = context
        self._turns = Turns(context.settings.max_concurrent)

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
                    Parameter("since", "leave out files that were not changed since then"),
                    Parameter("format", "kind of archive", choices=FORMAT_NAMES),
                    Parameter("preview", "list what would be in it instead", choices=("1",)),
                ),
                reach=Reach.GATHERED,
            ),
        )

    def export(self, request: Request) -> Answer:
        """Answer with an archive, or with its preview."""
        # To import what makes archives takes a tenth of a second: not on the host's thread.
        with forks_held_off():
            from endoscope_export.exporting import export

        return export(self._context, self._turns, request)
