from __future__ import annotations

import os
import stat

import pytest

from endoscope import directories
from endoscope.errors import StartError


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_directory_is_ours_alone(tmp_path):
    path = tmp_path / "a" / "b" / "output"
    assert directories.judge(path) == ""
    assert not path.exists(), "judging makes nothing"
    assert directories.claim(path) == path
    assert mode(path) == 0o700


def test_a_relative_path_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert directories.claim(directories.Path("output")) == tmp_path / "output"


def test_what_is_there_is_accepted_as_it_is(tmp_path):
    path = tmp_path / "output"
    path.mkdir(mode=0o755)
    (path / "file").write_text("kept")
    assert directories.claim(path) == path
    assert (path / "file").read_text() == "kept"


def test_a_symbolic_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "output").symlink_to(tmp_path / "real")
    assert "symbolic link" in directories.judge(tmp_path / "output")
    with pytest.raises(StartError, match="symbolic link") as caught:
        directories.claim(tmp_path / "output")
    assert "output_directory" in caught.value.remedy


def test_a_symbolic_link_to_nowhere(tmp_path):
    (tmp_path / "output").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StartError):
        directories.claim(tmp_path / "output")
    assert not (tmp_path / "nowhere").exists()


def test_a_file(tmp_path):
    (tmp_path / "output").write_text("")
    assert directories.judge(tmp_path / "output") == "it is not a directory"
    with pytest.raises(StartError):
        directories.claim(tmp_path / "output")


def test_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    assert directories.judge(tmp_path / "file" / "output") == "Not a directory"
    with pytest.raises(StartError, match="cannot make"):
        directories.claim(tmp_path / "file" / "output")


@pytest.mark.parametrize("writable", [0o770, 0o702, 0o777, 0o1777])
def test_others_may_write(tmp_path, writable):
    path = tmp_path / "output"
    path.mkdir()
    path.chmod(writable)
    assert "others may write" in directories.judge(path)
    with pytest.raises(StartError, match="others may write"):
        directories.claim(path)


def test_another_user_s(tmp_path, monkeypatch):
    path = tmp_path / "output"
    path.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert "belongs to user" in directories.judge(path)
    with pytest.raises(StartError, match="belongs to user"):
        directories.claim(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_one_that_may_not_be_written(tmp_path):
    path = tmp_path / "output"
    path.mkdir(mode=0o500)
    with pytest.raises(StartError, match="may not write"):
        directories.claim(path)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_names_that_no_directory_can_have(tmp_path, name):
    assert directories.judge(tmp_path / name)
    with pytest.raises(StartError, match="cannot make"):
        directories.claim(tmp_path / name)
