"""One archive being made: from the plan to its last byte, with a record of what happened."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from endoscope_export import manifest, manifest_text
from endoscope_export.bundle import EXPORT, MANIFEST_JSON, MANIFEST_TEXT, Stage
from endoscope_export.content import Blob, ContentError
from endoscope_export.ledger import Ledger
from endoscope_export.limits import Allowance
from endoscope_export.manifest import FailureRow, MemberRow
from endoscope_export.pieces import FLUSH, Compressed, Cut
from endoscope_export.preparation import OlderError, Preparation
from endoscope_export.tar_stream import Sent, TarStream

if TYPE_CHECKING:
    from collections.abc import Generator

    from endoscope import ManifestEntry
    from endoscope_export.bundle import Plan, PlannedMember
    from endoscope_export.content import Content
    from endoscope_export.kept_streams import KeptStreams
    from endoscope_export.manifest import Manifest
    from endoscope_export.masking import Masking
    from endoscope_export.order import Order
    from endoscope_export.pieces import Pause, Piece, Pieces
    from endoscope_export.preparation import Prepared
    from endoscope_export.processes import Processes, Told

_MADE_ON_DEMAND = (Stage.CALLED, Stage.SLOW)


class Archive:
    """Makes one archive. `pieces` can be pulled once.

    `kept` are streams that may be taken as they are; None if the format knows no such thing.
    """

    def __init__(
        self,
        order: Order,
        plan: Plan,
        processes: Processes,
        masking: Masking,
        kept: KeptStreams | None,
    ) -> None:
        self._order = order
        self._plan = plan
        self._processes = processes
        self._kept = kept
        self._allowance = Allowance(order.limits, plan.spent, order.began)
        self._preparation = Preparation(masking, self._allowance, processes, order.selection.since)
        self._ledger = Ledger(plan, masking.rules)
        self._tar = TarStream(partial(processes.contributions.begin, plugin=EXPORT))

    def pieces(self) -> Pieces:
        """Yield the archive as tar.

        Closing the generator, at any point, closes the file that is being read.
        """
        stage = Stage.AT_HAND
        for member in self._plan.members:
            if member.stage is not stage or member.stage in _MADE_ON_DEMAND:
                yield FLUSH  # what follows may take its time: the client gets the rest now
            stage = member.stage
            yield from self._contributed(member)
        yield FLUSH
        yield from self._gather_entries()
        yield from self._own(MANIFEST_TEXT, manifest_text.as_text(self._manifest()))
        yield from self._own(MANIFEST_JSON, manifest.as_json(self._manifest()))
        yield from self._tar.end()

    def _contributed(self, member: PlannedMember) -> Pieces:
        contributor = member.contributor
        spent = self._allowance.spent.get(contributor, 0.0)
        try:
            prepared = yield from self._preparation.prepare(member)
        except OlderError:
            self._ledger.leave_out(member, "older")
            return
        except ContentError as error:
            self._fail(member, error.code, error.message)
            return
        making = self._allowance.spent.get(contributor, 0.0) - spent
        with closing(prepared.content):
            sent = yield from self._entry(member, prepared)
        self._allowance.fill(prepared.content.size)
        self._ledger.add(_row(member, prepared, sent, making))
        if cut := prepared.cut or sent.cut:
            self._fail(member, "truncated", cut)

    def _fail(self, member: PlannedMember, code: str, message: str) -> None:
        row = FailureRow(member.plugin, member.path, code, message, member.process)
        self._ledger.fail(row)

    def _entry(self, member: PlannedMember, prepared: Prepared) -> Generator[Piece, None, Sent]:
        content = prepared.content
        if self._kept is not None and member.verbatim:
            key = self._kept.key(member.path, content)
            if key is not None:
                return (yield from self._kept_entry(self._kept, key, member.path, content))
        return (yield from self._tar.entry(member.path, content))

    def _kept_entry(
        self, streams: KeptStreams, key: str, path: str, content: Content
    ) -> Generator[Piece, None, Sent]:
        """Send an entry as a stream of its own: one that is kept, or a new one, which is then."""
        yield Cut()
        kept = streams.find(key)
        if kept is None:
            return (yield from self._new_stream(streams, key, path, content))
        with closing(kept):
            for chunk in kept.chunks():
                yield Compressed(chunk)
        self._tar.skip(path, content)
        return Sent(kept.sha256, seconds=0.0)

    def _new_stream(
        self, streams: KeptStreams, key: str, path: str, content: Content
    ) -> Generator[Piece, None, Sent]:
        draft = streams.draft(key, content.size)
        if draft is None:
            sent = yield from self._tar.entry(path, content)
            yield Cut()
            return sent
        with closing(draft):
            yield Cut(copy=draft.write)
            sent = yield from self._tar.entry(path, content)
            yield Cut()
            if not sent.cut and content.is_unchanged():
                draft.keep(sent.sha256)
        return sent

    def _own(self, path: str, data: bytes) -> Pieces:
        sent = yield from self._tar.entry(path, Blob(data), modified=int(self._order.made))
        row = MemberRow(
            path, len(data), sent.sha256, None, EXPORT, "manifest", 0.0, False, "text", {}
        )
        self._ledger.add(row)

    def _gather_entries(self) -> Generator[Pause, None, None]:
        told = yield from self._processes.entries(self._allowance.last_seconds())
        for each in told:
            self._charge(each)
            self._ledger.tell(each)

    def _charge(self, told: Told[ManifestEntry]) -> None:
        for answer in told.answers:
            self._allowance.spend(told.contributor(answer.plugin), answer.seconds)

    def _manifest(self) -> Manifest:
        return self._ledger.manifest(self._order, self._allowance, self._processes)


def _row(member: PlannedMember, prepared: Prepared, sent: Sent, making: float) -> MemberRow:
    content = prepared.content
    return MemberRow(
        path=member.path,
        bytes=content.size,
        sha256=sent.sha256,
        modified=None if content.modified is None else manifest.rfc3339(content.modified),
        plugin=member.plugin,
        group=member.group,
        seconds=making + sent.seconds,
        truncated=bool(prepared.cut or sent.cut),
        content=prepared.kind,
        redactions=dict(sorted(prepared.redactions.items())),
        process=member.process,
    )
