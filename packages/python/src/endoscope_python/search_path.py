"""Where Python looks for modules, and who looks there."""

from __future__ import annotations

import sys

from endoscope_python.objects import text, type_name


def tell() -> dict[str, object]:
    """Return `sys.path`, and the types of the finders and hooks.

    An entry of the path that is no string is shown as its type.
    """
    return {
        "path": [_entry(entry) for entry in list(sys.path)],
        "meta_path": [type_name(finder) for finder in list(sys.meta_path)],
        "path_hooks": [type_name(hook) for hook in list(sys.path_hooks)],
        "path_importer_cache": len(sys.path_importer_cache),
    }


def _entry(entry: object) -> str:
    shown = text(entry)
    return type_name(entry) if shown is None else shown
