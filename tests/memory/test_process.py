import ctypes
from pathlib import Path

import pytest

from endoscope_memory import process


def test_the_initial_environment_outlives_its_removal(monkeypatch):
    name = next(iter(process.initial_environment()))
    monkeypatch.delenv(name, raising=False)
    assert name in process.initial_environment()


def test_what_the_kernel_no_longer_knows_is_taken_from_the_process(monkeypatch):
    monkeypatch.setenv("ENDOSCOPE_TEST_LATE", "1")
    assert process.initial_environment()["ENDOSCOPE_TEST_LATE"] == "1"


def test_an_address_leads_to_its_file():
    function = ctypes.CDLL(None)["malloc"]
    path = process.file_mapped_at(ctypes.cast(function, ctypes.c_void_p).value)
    assert Path(path).exists()
    assert process.file_mapped_at(0) == ""


@pytest.mark.parametrize(
    ("setting", "options", "reach"),
    [
        ("malloc", (), True),
        ("malloc_debug", (), True),
        ("pymalloc", (), False),
        (None, (), False),
        ("malloc", ("-E",), False),
    ],
)
def test_where_small_objects_go(plain, setting, options, reach):
    snippet = """
from endoscope_memory import process
print("true" if process.small_objects_reach_malloc() else "false")"""
    assert plain(snippet, options=options, PYTHONMALLOC=setting).answer is reach


@pytest.mark.parametrize(("options", "ignores"), [((), False), (("-E",), True), (("-I",), True)])
def test_who_ignores_the_python_variables(plain, options, ignores):
    snippet = """
from endoscope_memory import process
print("true" if process.ignores_python_variables() else "false")"""
    assert plain(snippet, options=options).answer is ignores
