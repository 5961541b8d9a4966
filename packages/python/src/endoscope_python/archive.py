"""What goes into an archive, and into its manifest."""

from __future__ import annotations

import gc
import sys
from functools import partial
from typing import TYPE_CHECKING

from endoscope import ArchiveMember, ManifestEntry
from endoscope_python import (
    build,
    distributions,
    interpreter,
    modules,
    search_path,
    warning_filters,
)
from endoscope_python.document import as_json

if TYPE_CHECKING:
    from collections.abc import Callable

_GROUP = "python"

_DOCUMENTS: dict[str, Callable[[], object]] = {
    "version.json": interpreter.tell,
    "build.json": build.tell,
    "path.json": search_path.tell,
    "warnings.json": warning_filters.tell,
    "modules.json": modules.tell,
}


def members() -> list[ArchiveMember]:
    """Return the files, each made when its turn has come."""
    return [
        *(ArchiveMember(path, partial(as_json, tell), _GROUP) for path, tell in _DOCUMENTS.items()),
        ArchiveMember("distributions.txt", distributions.requirements, _GROUP),
    ]


def manifest_entries() -> list[ManifestEntry]:
    """Return what a reader must know before comparing this Python with another."""
    facts: dict[str, str | int | bool] = {
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "virtual_environment": sys.prefix != sys.base_prefix,
        "debug_build": hasattr(sys, "gettotalrefcount"),
        "gil_enabled": interpreter.gil_enabled(),
        "optimize": sys.flags.optimize,
        "dev_mode": sys.flags.dev_mode,
        "garbage_collector_enabled": gc.isenabled(),
        "modules": len(sys.modules),
    }
    return [ManifestEntry("python", name, value) for name, value in facts.items()]
