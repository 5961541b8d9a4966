"""How facts are written, and how it is said that one cannot be told."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from endoscope.workers import giving_way

if TYPE_CHECKING:
    from collections.abc import Callable


def json_document(tell: Callable[[], object]) -> bytes:
    """Return as a JSON document what `tell` returns, or why it does not."""
    value = told(tell)
    encoder = json.JSONEncoder(indent=2, allow_nan=False, default=asdict)
    return "".join((*giving_way(encoder.iterencode(value), 1024), "\n")).encode()


def told(tell: Callable[[], object]) -> object:
    """Return what `tell` returns, or `{"error": why}` where it raises.

    Kernels, containers and their policies differ in what they show: what one of them keeps
    to itself must not cost what it does tell.
    """
    try:
        return tell()
    except Exception as error:  # noqa: BLE001 - whatever it is, the reader of the file learns it
        return {"error": f"{type(error).__name__}: {error}"}
