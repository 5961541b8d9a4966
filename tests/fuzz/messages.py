"""pprof messages by recipe: bytes that a fuzzer may change and that are a message all the same.

What it changes in a message's own bytes is a broken message, which protobuf refuses before our
code sees it.
"""

from __future__ import annotations

import math

from endoscope_profiles.profile_proto import ProfileMessage

_TEXTS = (
    *(b"", b"inuse_objects", b"count", b"inuse_space", b"bytes", b"space", b"main", b"a.py"),
    *(b"# coarsest_interval_bytes: 4096", b"# taken: 2026-11-24T00:00:00Z", b"\xff", b"[no stack]"),
)
_IDS = (1, 2, 3, 4, 0)
_WHOLE = (*range(len(_TEXTS)), *range(len(_TEXTS)), 4096, 2**31, 2**63 - 1, -1, -(2**63))
_REAL = (0.0, 1.0, 1e300, 5e-324, -1.0, math.inf, math.nan)


class _Recipe:
    """Bytes, read as choices. Where they end, every choice is the first."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def more(self):
        return self._at < len(self._data)

    def choose(self, among):
        self._at += 1
        byte = self._data[self._at - 1] if self._at <= len(self._data) else 0
        return among[byte % len(among)]


def message(data):
    """Return the bytes of a message, as `data` says."""
    made, recipe = ProfileMessage(), _Recipe(data)
    made.string_table.extend(_TEXTS)
    if recipe.choose((True, False)):
        made.sample_type.add(type=1, unit=2)
        made.sample_type.add(type=3, unit=4)
        made.period_type.unit = 4
    for known in _IDS[:-1]:
        made.function.add(id=known, name=6, filename=7)
        made.location.add(id=known).line.add(function_id=known, line=1)
    while recipe.more():
        _add(made, recipe)
    return made.SerializeToString()


def _add(parent, recipe):
    """Set or extend one field of a message, as the recipe says."""
    field = recipe.choose(parent.DESCRIPTOR.fields)
    if field.message_type and field.is_repeated:
        _add_fields(getattr(parent, field.name).add(), recipe)
    elif field.message_type:
        _add_fields(getattr(parent, field.name), recipe)
    elif field.is_repeated:
        getattr(parent, field.name).append(_value(field, recipe))
    else:
        setattr(parent, field.name, _value(field, recipe))


def _add_fields(child, recipe):
    for _ in range(recipe.choose(range(6))):
        _add(child, recipe)


def _value(field, recipe):
    if field.type == field.TYPE_BYTES:
        return recipe.choose(_TEXTS)
    if field.type == field.TYPE_DOUBLE:
        return recipe.choose(_REAL)
    if field.type == field.TYPE_BOOL:
        return recipe.choose((True, False))
    number = recipe.choose(_IDS if field.name.endswith("id") else _WHOLE)
    return abs(number) if field.type == field.TYPE_UINT64 else number
