"""What would be in an archive, and what would be masked in it, without making one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from endoscope_export.bundle import Stage
from endoscope_export.content import ContentError
from endoscope_export.ledger import Ledger
from endoscope_export.limits import Allowance
from endoscope_export.manifest import FailureRow, in_all, processes_document, selection_document
from endoscope_export.preparation import OlderError, Preparation

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from endoscope_export.bundle import Plan, PlannedMember
    from endoscope_export.masking import Masking
    from endoscope_export.order import Order
    from endoscope_export.pieces import Pause
    from endoscope_export.preparation import Prepared
    from endoscope_export.processes import Processes


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """A file that would be there. `bytes` and `content` are None for what takes long to make."""

    path: str
    plugin: str
    group: str
    bytes: int | None = None
    content: str | None = None
    redactions: Mapping[str, int] | None = None
    truncated: bool = False
    process: int | None = None


def preview(order: Order, plan: Plan, processes: Processes, masking: Masking) -> dict[str, Any]:
    """Return, for JSON, the rows of an archive made now; read all text, send nothing."""
    allowance = Allowance(order.limits, plan.spent, order.began)
    preparation = Preparation(masking, allowance, processes, order.selection.since)
    ledger = Ledger(plan, masking.rules)
    rows = list(_rows(plan, preparation, allowance, ledger))
    return {
        "selection": selection_document(order.selection),
        "bytes": sum(row.bytes or 0 for row in rows),
        "redactions": in_all(row.redactions or {} for row in rows),
        "processes": processes_document(processes.rows, rows, ledger.failures),
        "members": [asdict(row) for row in rows],
        "left_out": [asdict(row) for row in ledger.left_out],
        "failures": [asdict(row) for row in ledger.failures],
    }


def _rows(
    plan: Plan, preparation: Preparation, allowance: Allowance, ledger: Ledger
) -> Iterator[PreviewRow]:
    for member in plan.members:
        if member.stage is Stage.SLOW:
            yield PreviewRow(member.path, member.plugin, member.group, process=member.process)
            continue
        try:
            prepared = _finished(preparation.prepare(member))
        except OlderError:
            ledger.leave_out(member, "older")
        except ContentError as error:
            ledger.fail(
                FailureRow(member.plugin, member.path, error.code, error.message, member.process)
            )
        else:
            with closing(prepared.content):
                allowance.fill(prepared.content.size)
                yield _row(member, prepared)


def _finished(steps: Generator[Pause, None, Prepared]) -> Prepared:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            prepared: Prepared = end.value
            return prepared


def _row(member: PlannedMember, prepared: Prepared) -> PreviewRow:
    return PreviewRow(
        member.path,
        member.plugin,
        member.group,
        prepared.content.size,
        prepared.kind,
        dict(sorted(prepared.redactions.items())),
        bool(prepared.cut),
        member.process,
    )
