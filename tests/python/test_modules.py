import importlib.util
import json
import sys
import threading
from types import ModuleType

import pytest

from endoscope import json_document
from endoscope_python import modules
from endoscope_python.modules import Module


def found(name):
    (module,) = [module for module in modules.tell()["modules"] if module.name == name]
    return module


def test_every_loaded_module_is_there_in_order():
    names = [module.name for module in modules.tell()["modules"]]
    assert names == sorted(names)
    assert set(names) >= {"sys", "pytest", __name__}
    assert modules.tell()["count"] == len(sys.modules)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sys", "built-in"),
        ("importlib._bootstrap", "frozen"),
        ("_json", "extension"),
        ("json", "source"),
    ],
)
def test_kinds(name, kind):
    assert found(name).kind == kind


def test_versions_and_files_are_the_modules_own():
    assert found("pytest") == Module("pytest", "source", pytest.__file__, pytest.__version__)


def test_a_namespace_and_one_made_at_run_time(tmp_path, monkeypatch):
    (tmp_path / "spacious").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    spacious = importlib.util.module_from_spec(importlib.util.find_spec("spacious"))
    assert modules.describe("spacious", spacious).kind == "namespace"
    assert modules.describe("made", ModuleType("made")).kind == "made at run time"
    assert modules.describe("blocked", None).kind == "blocked"


def test_no_code_of_a_module_is_run():
    class Lazy(ModuleType):
        def __getattr__(self, name):
            raise AssertionError(name)

        @property
        def __version__(self):
            raise AssertionError("__version__")

    class Proxy:
        def __getattribute__(self, name):
            raise AssertionError(name)

    class Spec:
        def __getattribute__(self, name):
            raise AssertionError(name)

    lazy = Lazy("lazy")
    lazy.__spec__ = Spec()
    assert modules.describe("lazy", lazy) == Module("lazy", "made at run time", None, None)
    assert modules.describe("proxy", Proxy()).kind.endswith("Proxy")


def test_versions_that_are_no_plain_strings_are_left_out():
    module = ModuleType("m")
    for version in ((1, 2), b"1", object()):
        module.__version__ = version
        assert modules.describe("m", module).version is None


def test_names_that_are_no_strings_are_left_out():
    assert modules.loaded({7: None, "a": None}) == [Module("a", "blocked", None, None)]


def test_imports_meanwhile_are_no_trouble(monkeypatch):
    done = threading.Event()

    def churn():
        for number in range(20_000):
            sys.modules[f"churn{number % 50}.{number}"] = ModuleType("churn")
            sys.modules.pop(f"churn{(number - 40) % 50}.{number - 40}", None)
        done.set()

    before = set(sys.modules)
    thread = threading.Thread(target=churn)
    thread.start()
    while not done.is_set():
        assert modules.tell()["count"] >= len(before)
    thread.join()
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_thousands_of_modules_are_one_document(monkeypatch):
    for number in range(5000):
        monkeypatch.setitem(sys.modules, f"many.m{number}", ModuleType("many"))
    document = json.loads(json_document(modules.tell))
    assert document["count"] == len(document["modules"]) == len(sys.modules)
