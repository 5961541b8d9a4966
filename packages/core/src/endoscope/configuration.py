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

_REFERENCE = re.compile(r"\$\{(?P<kind>env|file)\.(?P<name>[^}]*)\}")
# Ten times what a large section has. Aliases let a few lines stand for millions of values.
_MOST_VALUES = 10_000
_QUOTED = re.compile(r"(['\"]).{2,}\1", re.DOTALL)


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
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        prefix, node = _section(path, loader.get_single_node())
        lines = dict(_lines(path, node))
        # The section alone: the rest of the file may have tags that only the host knows.
        value = loader.construct_document(node)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(
            f"{path}: cannot be read: {reason}",
            remedy="Name an existing YAML file with --config or ENDOSCOPE_CONFIG.",
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Without its cause, which quotes the text at fault: that may be the secret.
        raise SettingsError(
            f"{_fault(path, error)}", remedy="Correct the file at that place."
        ) from None
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise SettingsError(
            f"{path}:{node.start_mark.line + 1}: `{prefix}` is not a mapping of settings",
            remedy="Indent the settings below it, one `key: value` per line.",
        )
    return Configuration(path, prefix, value, lines)


def _fault(path: Path, error: Exception) -> str:
    """Say what is no YAML and where, without a word of the file's own."""
    mark = getattr(error, "problem_mark", None)
    place = f"{path}:{mark.line + 1}" if mark else str(path)
    problem = getattr(error, "problem", None) or "something in it cannot be read"
    if isinstance(error, RecursionError):
        problem = "it is nested too deeply"
    return f"{place}: is not YAML: {_QUOTED.sub('...', problem)}"


def _section(path: Path, root: yaml.Node | None) -> tuple[str, yaml.Node]:
    """Find the section: where it stands, and its node."""
    found = []
    for place in (("plugins", SECTION), (SECTION,)):
        node = root
        for key in place:
            node = _child(path, node, key)
        if node is not None:
            found.append((".".join(place), node))
    if not found:
        raise SettingsError(
            f"{path}: has no section `plugins.{SECTION}`",
            remedy=f"Put the settings under `plugins: {SECTION}:`, or `{SECTION}:` alone.",
        )
    if len(found) > 1:
        raise SettingsError(
            f"{path}: has both `plugins.{SECTION}` (line {found[0][1].start_mark.line + 1}) and "
            f"`{SECTION}` (line {found[1][1].start_mark.line + 1})",
            remedy="Keep one of the two.",
        )
    return found[0]


def _child(path: Path, node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    found = [(name, value) for name, value in node.value if name.value == key]
    if len(found) > 1:
        raise _twice(path, *(name for name, _ in found[:2]))
    return found[0][1] if found else None


def _twice(path: Path, first: yaml.Node, second: yaml.Node) -> SettingsError:
    return SettingsError(
        f"{path}:{second.start_mark.line + 1}: `{second.value}` stands in line "
        f"{first.start_mark.line + 1} already",
        remedy="Keep one of the two.",
    )


def _lines(path: Path, section: yaml.Node) -> Iterator[tuple[Place, int]]:
    """Yield the line of every key below `section`."""
    left: list[tuple[yaml.Node, Place]] = [(section, ())]
    for _ in range(_MOST_VALUES):
        if not left:
            return
        node, place = left.pop()
        for key, marked, child in _children(path, node):
            yield (*place, key), marked.start_mark.line + 1
            left.append((child, (*place, key)))
    raise SettingsError(
        f"{path}:{section.start_mark.line + 1}: the section has more than {_MOST_VALUES} values, "
        "or an alias that holds itself",
        remedy="Write the few settings out, without aliases.",
    )


def _children(path: Path, node: yaml.Node) -> list[tuple[str | int, yaml.Node, yaml.Node]]:
    """Return key, the node whose line counts, and value of everything in `node`."""
    if isinstance(node, yaml.SequenceNode):
        return [(index, child, child) for index, child in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys: dict[str, yaml.Node] = {}
    for key, _ in node.value:
        # YAML would take the last without a word. `<<` may stand there several times.
        if isinstance(key, yaml.ScalarNode) and key.value in keys and key.value != "<<":
            raise _twice(path, keys[key.value], key)
        keys[str(key.value)] = key
    return [(str(key.value), key, value) for key, value in node.value]


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
        except ValueError:
            mistakes.append(Mistake(key, "its reference holds characters no name has", ""))
        return None

    return walk(value, ()), tuple(mistakes)


def _resolve(match: re.Match[str]) -> str:
    name = match["name"]
    if not name:
        raise LookupError(f"{match[0]} names nothing", "Write `${env.NAME}` or `${file./path}`.")
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


def is_reference(value: object) -> bool:
    """Tell whether `value` is nothing but one `${env.X}` or `${file.PATH}`."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None
