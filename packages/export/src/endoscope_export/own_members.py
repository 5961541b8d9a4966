"""What export itself puts into an archive: configuration, executable, libraries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from endoscope_export.binary import open_executable
from endoscope_export.bundle import EXPORT, PlannedMember, Stage
from endoscope_export.mapped import DELETED, mapped_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from endoscope import PluginContext
    from endoscope_export.settings import ExportSettings

_CONFIG, _BINARY = "config", "binary"

OWN_GROUPS = frozenset({_CONFIG, _BINARY})
"""Groups that can be asked for whatever the settings."""


def own_members(context: PluginContext[ExportSettings]) -> Iterator[PlannedMember]:
    """Yield the members that the settings ask for."""
    name, settings = context.host.service_name, context.settings

    def configuration() -> bytes:
        return context.contributions.configuration().encode("utf-8", "backslashreplace")

    yield PlannedMember(f"config/{name}.yaml", configuration, _CONFIG, EXPORT, Stage.AT_HAND)
    if settings.include_binary:
        yield _binary(f"{name}-binary", open_executable)
    if settings.include_libraries:
        for library in mapped_libraries(_executable()):
            yield _binary(f"binaries{os.fsdecode(library.path)}", library.open)


def _binary(path: str, source: object) -> PlannedMember:
    return PlannedMember(path, source, _BINARY, EXPORT, Stage.LAST, verbatim=True)


def _executable() -> bytes:
    try:
        return os.readlink(b"/proc/self/exe").removesuffix(DELETED)
    except OSError:
        return b""
