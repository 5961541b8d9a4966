"""What the documentation says of hooks, settings and routes is what the code does."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

import endoscope
from endoscope import hookspecs
from endoscope.settings import CoreSettings
from endoscope_auth.settings import AuthSettings
from endoscope_export.settings import ExportSettings
from endoscope_memory.settings import MemorySettings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SECTIONS = {"": CoreSettings, "memory": MemorySettings, "export": ExportSettings}


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


# --- hooks ------------------------------------------------------------------------------------


def hooks() -> list[str]:
    return [
        f"{name}({', '.join(inspect.signature(function).parameters)})"
        for name, function in vars(hookspecs).items()
        if name.startswith("endoscope_")
    ]


def test_hooks_stand_in_the_document_in_call_order_with_their_arguments():
    assert re.findall(r"^## `(.*)`$", text("hooks.md"), re.MULTILINE) == hooks()


def test_every_hook_says_when_it_is_called():
    for name, function in vars(hookspecs).items():
        if name.startswith("endoscope_"):
            assert re.search(r"[Cc]alled (once|before|by|per)", function.__doc__), name


# --- settings ---------------------------------------------------------------------------------


def fields(model: type[BaseModel], prefix: str = "") -> dict[str, tuple[str, str]]:
    """Return every key of a section, with its default and its description."""
    found = {}
    for name, field in model.model_fields.items():
        inner = next(
            (
                t
                for t in (field.annotation, *getattr(field.annotation, "__args__", ()))
                if isinstance(t, type) and issubclass(t, BaseModel)
            ),
            None,
        )
        if inner is not None:
            found |= fields(inner, f"{prefix}{name}.")
        else:
            found[prefix + name] = (shown(field), " ".join((field.description or "").split()))
    return found


def shown(field) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if default is None:
        return "unset"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return f"[{', '.join(default)}]"
    return f'"{default}"' if default == "" else str(default)


def rows(section: str) -> dict[str, tuple[str, str]]:
    """Return the rows of the table below a section's heading."""
    heading = f"## `{section}`" if section else "## Core"
    part = text("settings.md").partition(f"{heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| (.*) \|$", part, re.MULTILINE)
    return {key: (default, description) for key, default, description in found}


@pytest.mark.parametrize("section", SECTIONS)
def test_settings_stand_in_the_document_with_their_defaults(section):
    assert rows(section) == fields(SECTIONS[section])


def test_auth_has_no_setting_but_the_secret():
    assert list(AuthSettings.model_fields) == ["shared_secret"]


# --- routes -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    """Ask running diagnostics with all packages for what they serve."""
    from endoscope.client import Client, Target

    settings = {
        "enabled": True,
        "listen": "127.0.0.1:0",
        "shared_secret": "secret-of-the-docs",
        "output_directory": str(tmp_path_factory.mktemp("docs") / "output"),
        "plugins": {"disabled": ["threads"]},
    }
    with endoscope.start(settings=settings) as diagnostics:
        client = Client(Target.from_url(str(diagnostics.address), settings["shared_secret"]))
        return client.ask("GET", "")["routes"]


def test_routes_stand_in_the_document(routes):
    served = {f"{route['method']} {route['path']}": route for route in routes}
    documented = re.findall(r"^### `((?:GET|POST|DELETE) [^`]+)`$", text("http.md"), re.MULTILINE)
    assert sorted(documented) == sorted(served)


def test_routes_are_documented_with_access_summary_and_parameters(routes):
    for route in routes:
        part = text("http.md").partition(f"### `{route['method']} {route['path']}`\n")[2]
        part = " ".join(part.partition("\n### ")[0].partition("\n## ")[0].split())
        assert f"{route['summary']}. Access: {route['access']}." in part, route
        for name in route["parameters"].keys() - {"process"}:
            assert f"`?{name}=`" in part, route


def test_who_can_be_asked_stands_once_with_the_routes_that_any_process_answers(routes):
    part = text("http.md").partition("## Several processes\n")[2].partition("\n## ")[0]
    assert "`?process=`" in part
    named = re.findall(r"`((?:GET|POST|DELETE) [^`]+)`", part)
    any_answers = [route for route in routes if "process" not in route["parameters"]]
    assert sorted(named) == sorted(f"{route['method']} {route['path']}" for route in any_answers)


# --- modules ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "folder"),
    [("Core, in the order of imports", "endoscope"), ("Many processes", "endoscope/processes")],
)
def test_modules_of_core_stand_in_the_document(heading, folder):
    part = text("architecture.md").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", part, re.MULTILINE)
    documented = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    modules = {file.stem for file in (ROOT / "packages/core/src" / folder).glob("*.py")}
    assert len(documented) == len(set(documented))
    assert set(documented) - {"processes"} == modules - {"__init__", "__main__"}


# --- links ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        *ROOT.glob("*.md"),
        *DOCS.glob("*.md"),
        *ROOT.glob("packages/*/README.md"),
        *ROOT.glob("examples/*/README.md"),
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
