"""Looking at the host's objects without running any of their code.

An attribute may be a property that raises, a proxy may connect to a database when it is asked
for its class, and a lazy module imports itself when it is touched. What is here reads what
CPython itself keeps of an object, and asks the object nothing.
"""

from __future__ import annotations

from types import FunctionType, ModuleType
from typing import cast

_NAME_OF_TYPE = type.__dict__["__qualname__"]
_ATTRIBUTES_OF_TYPE = type.__dict__["__dict__"]
_ATTRIBUTES_OF_MODULE = type.__dict__["__dict__"].__get__(ModuleType)["__dict__"]


def type_name(thing: object) -> str:
    """Return where the type of `thing` is from, and its name; of a class or function, its own."""
    if type(thing) is FunctionType:
        return f"{thing.__module__}.{thing.__qualname__}"
    cls = thing if is_a(thing, type) else type(thing)
    module = _ATTRIBUTES_OF_TYPE.__get__(cls).get("__module__")
    name = cast("str", _NAME_OF_TYPE.__get__(cls))
    return f"{module}.{name}" if type(module) is str else name


def is_a(thing: object, cls: type) -> bool:
    """Return what `isinstance` would, had `thing` no say in it."""
    return cls in type.__dict__["__mro__"].__get__(type(thing))


def text(value: object) -> str | None:
    """Return `value` if it is a plain string, and None for anything else."""
    return value if type(value) is str else None


def module_attributes(module: object) -> dict[str, object] | None:
    """Return the attributes that a module has at this moment; None for what is no module."""
    if not is_a(module, ModuleType):
        return None
    return cast("dict[str, object]", _ATTRIBUTES_OF_MODULE.__get__(module))
