"""What goes into an archive, and into its manifest."""

from __future__ import annotations

import gc
import sys
from functools import partial
from typing import TYPE_CHECKING

from endoscope import ArchiveMember, ManifestEntry, json_document
from endoscope_python import (
    build,
    distributions,
    interpreter,
    modules,
    search_path,
    warning_filters,
)

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

# What is the installation's, and not the process's.
_SHARED = {"version.json", "build.json", "distributions.txt"}


def members() -> list[ArchiveMember]:
    """Return the files, each made when its turn has come."""
    return [
        *(_member(path, partial(json_document, tell)) for path, tell in _DOCUMENTS.items()),
        _member("distributions.txt", distributions.requirements),
    ]


def _member(path: str, source: Callable[[], bytes]) -> ArchiveMember:
    return ArchiveMember(path, source, _GROUP, shared=path in _SHARED)


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
