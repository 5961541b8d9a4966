import sys

from endoscope_python import search_path


def test_the_path_is_python_s(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", "/x", 7])
    assert search_path.tell()["path"] == ["", "/x", "int"]


def test_finders_and_hooks_are_told_by_type(monkeypatch):
    class Finder:
        def __getattribute__(self, name):
            raise AssertionError(name)

        def find_spec(self, *_):
            return None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    found = search_path.tell()
    monkeypatch.undo()
    assert "_frozen_importlib.BuiltinImporter" in found["meta_path"]
    assert found["meta_path"][-1].endswith("Finder")
    assert "zipimport.zipimporter" in found["path_hooks"]
