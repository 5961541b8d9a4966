"""The packages are released together."""

from __future__ import annotations

import tomllib
from pathlib import Path

FILES = sorted((Path(__file__).parents[2] / "packages").glob("*/pyproject.toml"))


def projects():
    return [tomllib.loads(file.read_text(encoding="utf-8"))["project"] for file in FILES]


def test_all_have_one_version():
    assert len({project["version"] for project in projects()}) == 1


def test_all_support_the_same_pythons_and_carry_the_licence():
    assert {(p["requires-python"], p["license"]) for p in projects()} == {(">=3.11", "MIT")}


def test_a_package_is_named_after_its_folder():
    names = {
        file.parent.name: project["name"] for file, project in zip(FILES, projects(), strict=True)
    }
    assert names == {
        folder: "endoscope" if folder == "core" else f"endoscope-{folder}" for folder in names
    }
