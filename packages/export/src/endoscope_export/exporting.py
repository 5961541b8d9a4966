"""From a request to an archive, or to its preview."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from endoscope import ByteStream, Json
from endoscope_export import bundle
from endoscope_export.archive import Archive
from endoscope_export.compress import FORMATS, compressed
from endoscope_export.formats import FORMAT_NAMES
from endoscope_export.kept_streams import KeptStreams
from endoscope_export.limits import Limits
from endoscope_export.masking import Masking
from endoscope_export.order import Order
from endoscope_export.own_members import OWN_GROUPS, own_members
from endoscope_export.preview import preview
from endoscope_export.processes import Processes
from endoscope_export.redaction import Rules
from endoscope_export.selection import parse_selection

if TYPE_CHECKING:
    from collections.abc import Generator

    from endoscope import Answer, PluginContext, Request
    from endoscope_export.bundle import Plan
    from endoscope_export.compress import Format
    from endoscope_export.settings import ExportSettings
    from endoscope_export.turns import Turn, Turns

# What happens before the first byte must end while a client still waits for it.
_LIST_SECONDS = 30.0
_PREVIEW_SECONDS = 25.0


def export(context: PluginContext[ExportSettings], turns: Turns, request: Request) -> Answer:
    """Answer with an archive, made while it is being downloaded, or with its preview.

    Everything that can be refused is refused here, before the first byte: raises
    `BadRequestError` for groups that nobody has, `BusyError` while too many run.
    """
    made, began = time.time(), time.monotonic()
    selection = parse_selection(request.query, made)
    form = FORMATS[request.query.get("format", FORMAT_NAMES[0])]
    with ExitStack() as held:
        turn = held.enter_context(turns.taken(request.principal))
        order = Order(made, began, context.host, selection, Limits.of(context.settings))
        processes = _processes(context, request)
        held.callback(processes.close)
        plan = _plan(context, order, processes)
        if "preview" in request.query:
            return _preview(context, order, plan, processes)
        archive = _archive(context, order, plan, processes, form)
        chunks = _chunks(archive, form, turn, held.pop_all())
    next(chunks)
    name = f"{context.host.service_name}-diagnostics-{int(made)}.{form.suffix}"
    return ByteStream(chunks, name, form.media_type)


def _processes(context: PluginContext[ExportSettings], request: Request) -> Processes:
    others = context.contributions.other_processes() if request.every_process else None
    return Processes(context.contributions, context.host, others)


def _plan(context: PluginContext[ExportSettings], order: Order, processes: Processes) -> Plan:
    own = tuple(own_members(context))
    told = processes.members(min(order.limits.contributor_seconds, _LIST_SECONDS))
    order.selection.check(OWN_GROUPS | bundle.known_groups(told))
    return bundle.plan(own, told, order.selection)


def _preview(
    context: PluginContext[ExportSettings], order: Order, plan: Plan, processes: Processes
) -> Json:
    passed = time.monotonic() - order.began
    seconds = min(order.limits.export_seconds, passed + _PREVIEW_SECONDS)
    order = replace(order, limits=replace(order.limits, export_seconds=seconds))
    return Json(preview(order, plan, processes, _masking(context)))


def _archive(
    context: PluginContext[ExportSettings],
    order: Order,
    plan: Plan,
    processes: Processes,
    form: Format,
) -> Archive:
    kept = KeptStreams(context.output_directory, context.settings.keep_compressed_bytes)
    kept_or_none = kept if form.many_streams else None
    return Archive(order, plan, processes, _masking(context), kept_or_none)


def _masking(context: PluginContext[ExportSettings]) -> Masking:
    rules = Rules.of(context.contributions.secrets(), context.settings.redact)
    return Masking(rules, context.output_directory)


def _chunks(
    archive: Archive, form: Format, turn: Turn, held: ExitStack
) -> Generator[bytes, None, None]:
    """Yield one empty chunk, which is for the handler, then the archive; give `held` back.

    A generator that has not begun runs no clean-up when it is closed, as after HEAD or for
    a client that is gone already. So the handler takes it over the first step.
    """
    with held:
        yield b""
        for chunk in compressed(archive.pieces(), form.compressor()):
            turn.sent_bytes += len(chunk)
            yield chunk
