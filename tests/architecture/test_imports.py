"""Who may import whom."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"
CORE = PACKAGES / "core" / "src" / "endoscope"

# Each module of core imports only from those before it.
ORDER = [
    "errors",
    "contributions",
    "hookspecs",
    "plugin",
    "procfs",
    "workers",
    "documents",
    "listener",
    "configuration",
    "settings",
    "directories",
    "plugins",
    "access",
    "chunks",
    "streams",
    "answers",
    "app",
    "forking",
    "server",
    "assembly",
    "index",
    "processes",
    "host",
    "mounting",
    "asgi",
    "wsgi",
    "program",
    "launch",
    "saving",
    "client",
    "replies",
    "service",
    "added_commands",
    "doctor",
    "sizes",
    "printable",
    "values",
    "tables",
    "processes_view",
    "status_view",
    "top_view",
    "preview_view",
    "printing",
    "cli",
]
# The package of one of them, in its own order.
PROCESSES = [
    "place",
    "frames",
    "wire",
    "sibling",
    "member",
    "lasting",
    "operations",
    "listing",
    "door",
    "supervisors",
    "presence",
    "addressing",
]
# Outside of the order: the public names, and what stands on them.
ON_TOP = {"__init__", "__main__", "testing"}

# What of ours each plugin may import beside core's root.
PLUGINS = {
    "auth": set(),
    "memory": {"endoscope_profiles"},
    "export": set(),
    "process": set(),
    "python": set(),
}

# What the packages that add commands import of core: the root, and these.
FOR_COMMANDS = {"client", "directories", "errors", "saving", "service"}

# What profiles needs beside the standard library.
FOR_PROFILES = {"google", "zstandard"}


def imported(file: Path) -> set[str]:
    """Return the full names of the modules that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name} imports relatively"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def test_every_module_of_core_has_a_place():
    found = {file.stem for file in CORE.glob("*.py")}
    assert found == {*ORDER, *ON_TOP} - {"processes"}
    assert {file.stem for file in (CORE / "processes").glob("*.py")} == {*PROCESSES, "__init__"}


def names_below(file: Path, package: str) -> set[str]:
    """Return what a file imports of a package, by the name right below it."""
    prefix = f"{package}."
    return {
        name.removeprefix(prefix).partition(".")[0]
        for name in imported(file)
        if name.startswith(prefix)
    }


@pytest.mark.parametrize("module", [name for name in ORDER if name != "processes"])
def test_core_imports_from_below_only(module):
    below = set(ORDER[: ORDER.index(module)])
    assert names_below(CORE / f"{module}.py", "endoscope") & set(ORDER) <= below


@pytest.mark.parametrize("module", PROCESSES)
def test_processes_import_from_below_only(module):
    file = CORE / "processes" / f"{module}.py"
    below = set(ORDER[: ORDER.index("processes") + 1])
    assert names_below(file, "endoscope") & set(ORDER) <= below
    below = set(PROCESSES[: PROCESSES.index(module)])
    assert names_below(file, "endoscope.processes") & set(PROCESSES) <= below


@pytest.mark.parametrize("plugin", sorted(PLUGINS))
def test_plugins_import_core_s_root_and_themselves_only(plugin):
    own = {f"endoscope_{plugin}", *PLUGINS[plugin]}
    for file in (PACKAGES / plugin / "src").rglob("*.py"):
        for name in imported(file):
            package, _, module = name.partition(".")
            if package.startswith("endoscope") and package not in own:
                assert package == "endoscope", f"{file} imports {name}"
                assert module not in ORDER or module == "hookspecs", f"{file} imports {name}"


def test_report_imports_the_root_what_is_for_commands_and_profiles():
    for file in (PACKAGES / "report" / "src").rglob("*.py"):
        for name in imported(file):
            package, _, module = name.partition(".")
            if package == "endoscope":
                assert module.partition(".")[0] not in set(ORDER) - FOR_COMMANDS, file
            elif package.startswith("endoscope"):
                assert package in {"endoscope_profiles", "endoscope_report"}, file


def test_profiles_imports_nothing_of_ours_and_two_libraries():
    for file in (PACKAGES / "profiles" / "src").rglob("*.py"):
        packages = {name.partition(".")[0] for name in imported(file)}
        assert packages <= {"endoscope_profiles", *FOR_PROFILES, *sys.stdlib_module_names}, file


def test_core_imports_no_plugin():
    for file in CORE.rglob("*.py"):
        assert not [name for name in imported(file) if name.startswith("endoscope_")], file
