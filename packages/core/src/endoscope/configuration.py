"""The configuration file: what stands where, and `${env.X}` and `${file.PATH}` in it.

The section may share a file with the host's own configuration: only
`plugins.experimental_diagnostics`, or `experimental_diagnostics` at the top level, is
looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from endoscope.errors import SettingsError

SECTION = "experimental_diagnostics"

Place = tuple[str | int, ...]

_REFERENCE = re.compile(r"\$\{(?P<kind>env|file)\.(?P<name>[^}]+)\}")


@dataclass(frozen=True, slots=True)
class Configuration:
    """The section of one file: its values as written, and the line of every key.

    `prefix` is where the section stands in the file; keys of `lines` are relative to it.
    """

    path: Path | None = None
    prefix: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Place, int] = field(default_factory=dict)

    def place(self, key: Place) -> str:
        """Say where `key` stands, or its nearest ancestor that does: `router.yaml:12`."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.lines:
                return f"{self.path}:{self.lines[key[:length]]}"
        return str(self.path) if self.path else "configuration"


def read(path: Path) -> Configuration:
    """Read the diagnostics section of a YAML file."""
    try:
        text = path.read_text(encoding="utf-8")
        # SafeLoader.compose gives the nodes with their lines; the values come from them.
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        values = loader.construct_document(root) if root is not None else {}
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read: {error.strerror}",
            remedy="Name an existing YAML file with --config or ENDOSCOPE_CONFIG.",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: is not YAML: {_one_line(error)}", remedy="Correct the file at that place."
        ) from error
    return _section(path, root, values)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _section(path: Path, root: yaml.Node | None, values: Any) -> Configuration:
    found = []
    for place in (("plugins", SECTION), (SECTION,)):
        value, node = values, root
        for key in place:
            value = value.get(key) if isinstance(value, dict) else None
            node = _child(node, key)
        if node is not None:
            found.append((".".join(place), value, node))
    if not found:
        raise SettingsError(
            f"{path}: has no section `plugins.{SECTION}`",
            remedy=f"Put the settings under `plugins: {SECTION}:`, or `{SECTION}:` alone.",
        )
    if len(found) > 1:
        raise SettingsError(
            f"{path}: has both `plugins.{SECTION}` (line {found[0][2].start_mark.line + 1}) and "
            f"`{SECTION}` (line {found[1][2].start_mark.line + 1})",
            remedy="Keep one of the two.",
        )
    prefix, value, node = found[0]
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise SettingsError(
            f"{path}:{node.start_mark.line + 1}: `{prefix}` is not a mapping of settings",
            remedy="Indent the settings below it, one `key: value` per line.",
        )
    return Configuration(path, prefix, value, dict(_lines(node, ())))


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                return value  # type: ignore[no-any-return]
    return None


def _lines(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield (*place, name.value), name.start_mark.line + 1
            yield from _lines(value, (*place, name.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*place, index), value.start_mark.line + 1
            yield from _lines(value, (*place, index))


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with the settings: at which key, what, and what to do."""

    key: Place
    message: str
    remedy: str


def expand(value: Any) -> tuple[Any, tuple[Mistake, ...]]:
    """Replace `${env.X}` and `${file.PATH}` in every string below `value`.

    A file's content loses one trailing newline. A value with a reference that cannot be
    resolved becomes None, and a `Mistake` says why.
    """
    mistakes: list[Mistake] = []

    def walk(value: Any, key: Place) -> Any:
        if isinstance(value, dict):
            return {name: walk(item, (*key, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*key, index)) for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return _REFERENCE.sub(_resolve, value)
        except LookupError as error:
            mistakes.append(Mistake(key, *error.args))
            return None

    return walk(value, ()), tuple(mistakes)


def _resolve(match: re.Match[str]) -> str:
    name = match["name"]
    if match["kind"] == "env":
        if name not in os.environ:
            raise LookupError(
                f"the environment variable {name} is not set",
                f"Set {name} before the program starts.",
            )
        return os.environ[name]
    try:
        return Path(name).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise LookupError(
            f"the file {name} cannot be read: {reason}", f"Put the value into {name}."
        ) from error


def has_reference(value: object) -> bool:
    """Tell whether `value` is text that holds a `${env.X}` or `${file.PATH}`."""
    return isinstance(value, str) and _REFERENCE.search(value) is not None
