"""The modules that are loaded."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from typing import TYPE_CHECKING

from endoscope import giving_way
from endoscope_python.objects import module_attributes, text, type_name

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Module:
    """One entry of `sys.modules`.

    `kind` is `built-in`, `frozen`, `extension`, `source`, `namespace`, `made at run time`, or
    `blocked` for a name that must not be imported; for an object that stands where a module is
    expected, its type. `version` is what the module states as a plain string, not what is
    installed.
    """

    name: str
    kind: str
    file: str | None
    version: str | None


def tell() -> dict[str, object]:
    """Return all modules by name, and how many there are."""
    modules = loaded(sys.modules.copy())  # at once: other threads import meanwhile
    return {"count": len(modules), "modules": modules}


def loaded(modules: Mapping[str, object]) -> list[Module]:
    """Describe modules by name, without touching them. Names that are no strings are left out."""
    named = [each for each in modules.items() if type(each[0]) is str]
    in_order = sorted(named, key=lambda each: each[0])
    return [describe(name, module) for name, module in giving_way(in_order)]


def describe(name: str, module: object) -> Module:
    """Describe one module. One that is loaded lazily stays unloaded."""
    if module is None:
        return Module(name, "blocked", None, None)
    attributes = module_attributes(module)
    if attributes is None:
        return Module(name, type_name(module), None, None)
    file = text(attributes.get("__file__"))
    version = text(attributes.get("__version__"))
    return Module(name, _kind(file, _spec(attributes)), file, version)


def _spec(attributes: Mapping[str, object]) -> Mapping[str, object]:
    spec = attributes.get("__spec__")
    # An attribute's default is no answer here: a spec of another type may compute them.
    return vars(spec) if type(spec) is ModuleSpec else {}


def _kind(file: str | None, spec: Mapping[str, object]) -> str:
    origin = text(spec.get("origin"))
    if origin in {"built-in", "frozen"}:
        return origin
    if file is not None:
        return "extension" if file.endswith(tuple(EXTENSION_SUFFIXES)) else "source"
    if spec.get("submodule_search_locations") is not None:
        return "namespace"
    return "made at run time"
