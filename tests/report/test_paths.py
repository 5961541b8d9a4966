import pytest

from endoscope_report import paths


@pytest.mark.parametrize(
    "path", ["a", "memory/x.prof", "a/b/c", "é", "bytes-\udcff", "..a", "a..", "x" * 255, ".hidden"]
)
def test_paths_that_can_be_unpacked(path):
    assert not paths.unsafe(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "a/..",
        "a//b",
        "a/",
        "./a",
        "a/./b",
        "a\0b",
        "x" * 256,
        "é" * 128,
        "a/" * 2048,
        "abc/" * 1024 + "a",
    ],
)
def test_paths_that_must_not(path):
    assert paths.unsafe(path)


@pytest.mark.parametrize(
    "path", ["con", "a/NUL.txt", "com1", "LPT9.prof", "a:b", "a\\b", "x.", "x /y", "tab\t"]
)
def test_names_that_windows_does_not_take(path):
    assert "Windows" in paths.unportable(path)


@pytest.mark.parametrize("path", ["console", "a/nul1", "com", "x.y", "a b", "é"])
def test_names_that_anybody_takes(path):
    assert not paths.unportable(path)


def test_a_file_that_is_a_folder_too():
    there = ["a/b/c", "a", "a-b", "a0/b", "x/y", "x/z"]
    assert list(paths.clashes(there)) == [("a", "a/b/c")]
    assert list(paths.clashes(["x/y/z", "x/y"])) == [("x/y", "x/y/z")]
    assert list(paths.clashes([])) == []


def test_what_is_one_file_on_some_systems():
    there = ["a/X", "a/x", "caf\u00e9", "cafe\u0301", "y"]
    assert list(paths.lookalikes(there)) == [("a/X", "a/x"), ("caf\u00e9", "cafe\u0301")]
