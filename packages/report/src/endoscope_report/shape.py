"""Whether a JSON document is shaped as it must be: which types are where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from endoscope_profiles.printable import printable

Shape = Any
"""A type; a tuple of types, any of which will do; a dictionary of the keys that must be there, each
with the shape of its value; `Each`, `Named` or `Optional`. Other keys may hold anything."""

_NAMES = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Each:
    """A list, all of whose values have one shape."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Named:
    """An object with any keys, all of whose values have one shape."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be null, or not be there."""

    shape: Shape


def fault(value: Any, shape: Shape, where: str) -> str:
    """Say what is the first thing in `value` that has another shape; empty if nothing has."""
    match shape:
        case Optional(inner):
            return "" if value is None else fault(value, inner, where)
        case Each(inner):
            wrong = _fault_of_type(value, (list,), where)
            return wrong or _fault_among(enumerate(value), inner, where)
        case Named(inner):
            wrong = _fault_of_type(value, (dict,), where)
            return wrong or _fault_among(value.items(), inner, where)
        case dict():
            wrong = _fault_of_type(value, (dict,), where)
            return wrong or _fault_of_keys(value, shape, where)
        case tuple():
            return _fault_of_type(value, shape, where)
        case _:
            return _fault_of_type(value, (shape,), where)


def _fault_among(rows: Iterable[tuple[Any, Any]], inner: Shape, where: str) -> str:
    faults = (fault(each, inner, f"{where}[{printable(str(key))}]") for key, each in rows)
    return next(filter(None, faults), "")


def _fault_of_keys(value: Mapping[str, Any], shape: Mapping[str, Shape], where: str) -> str:
    for key, inner in shape.items():
        if key not in value and not isinstance(inner, Optional):
            return f"{where} has no {key}"
        if found := fault(value.get(key), inner, f"{where}.{key}"):
            return found
    return ""


def _fault_of_type(value: Any, types: tuple[type, ...], where: str) -> str:
    if type(value) in types:  # and not isinstance: True is no number here
        return ""
    wanted = " or ".join(_NAMES[each] for each in types)
    return f"{where} is {_NAMES[type(value)]}, and not {wanted}"
