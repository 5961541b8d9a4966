"""The names that plugin authors and hosts import."""

from __future__ import annotations

import ast
from pathlib import Path

import endoscope

SOURCE = Path(endoscope.__file__)


def test_all_is_what_is_imported():
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    names = [a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names]
    assert sorted(endoscope.__all__) == sorted(names)


def test_the_root_holds_nothing_else():
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    kinds = {type(node) for node in tree.body}
    assert kinds == {ast.Expr, ast.ImportFrom, ast.Assign}


def test_public_classes_and_functions_say_what_they_are():
    undocumented = [
        name
        for name in endoscope.__all__
        if callable(getattr(endoscope, name))
        and isinstance(getattr(endoscope, name), type)
        and not getattr(endoscope, name).__doc__
    ]
    assert undocumented == []
