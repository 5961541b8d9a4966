import gzip
import pathlib
import resource
import signal
import subprocess

import pytest

from endoscope.errors import EndoscopeError
from endoscope_report import archive as archive_module
from endoscope_report.archive import Archive, is_archive

DAMAGED = gzip.compress(bytes(900))[:12] + b"\xff" * 60


def unpacked(name):
    return Archive.unpacked(pathlib.Path(name))


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.zst", "a.tar", "anything"])
def test_every_compression_is_known_by_its_content(archive, name):
    archive(name=name)
    assert is_archive(pathlib.Path(name))
    with unpacked(name) as found:
        assert found.complete
        assert len(found.dumps) == 3


def test_dumps_and_binaries_are_found(archive, dumps):
    archive()
    with unpacked("shop.tar.gz") as found:
        assert sorted(found.dumps) == dumps
        binaries = sorted(path.read_bytes() for path in found.binaries.iterdir())
        assert binaries == [b"\x7fELF", b"\x7fELFz"]
        with found.open_dump(dumps[0]) as file:
            assert file.read() == pathlib.Path(dumps[0]).read_bytes()


def test_nothing_is_left_behind(archive):
    archive()
    with unpacked("shop.tar.gz") as found:
        folder = found.binaries
        assert list(folder.iterdir())
    assert not folder.exists()


def test_a_member_cannot_leave_the_folder(archive, tmp_path):
    archive(**{"memory/../../../evil.prof": b"x", "binaries//etc/evil": b"y"})
    before = sorted(tmp_path.rglob("*"))
    with unpacked("shop.tar.gz") as found:
        assert not [name for name in found.dumps if "evil" in name]
        folder = found.binaries.parent
        assert {path.parent for path in found.dumps.values()} == {folder}
        assert not [path for path in folder.rglob("*") if "evil" in path.name]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_sparse_member_is_passed_over(tmp_path):
    """Of a few bytes it would make as many as it likes."""
    with (tmp_path / "hole").open("wb") as hole:
        hole.truncate(1 << 30)
    (tmp_path / "memory").mkdir()
    (tmp_path / "hole").rename(tmp_path / "memory" / "big_9.prof")
    words = ["tar", "--sparse", "-cf", tmp_path / "x.tar", "-C", tmp_path, "memory/big_9.prof"]
    subprocess.run(words, check=True)
    assert (tmp_path / "x.tar").stat().st_size < 100_000
    with unpacked(tmp_path / "x.tar") as found:
        assert dict(found.dumps) == {}


def test_an_archive_that_holds_too_much_is_refused(archive, monkeypatch):
    monkeypatch.setattr(archive_module, "_MOST_BYTES", 100)
    archive()
    with pytest.raises(EndoscopeError, match="more than 100 bytes"), unpacked("shop.tar.gz"):
        pass


def test_a_full_disk_is_told_from_a_damaged_archive(archive, monkeypatch):
    archive()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))
    try:
        with (
            pytest.raises(EndoscopeError, match="cannot be unpacked into"),
            unpacked("shop.tar.gz"),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.zst", "a.tar"])
def test_one_that_breaks_off_gives_what_it_has(archive, name):
    path = pathlib.Path(archive(name=name))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with unpacked(name) as found:
        assert not found.complete
        assert len(found.dumps) <= 3
        for dump in list(found.dumps)[:-1]:  # the last one was cut
            assert found.dumps[dump].read_bytes().endswith(b"MAPPED_LIBRARIES:\n")


def test_a_damaged_one_gives_what_it_has(archive):
    path = pathlib.Path(archive())
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 64] = bytes(64)
    path.write_bytes(whole)
    with unpacked(path) as found:
        assert not found.complete


def test_one_without_its_manifest_is_incomplete(archive):
    archive(complete=False)
    with unpacked("shop.tar.gz") as found:
        assert not found.complete


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"\x1f\x8bnot gzip",
        DAMAGED,
        b"\x28\xb5\x2f\xfdno",
    ],
)
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert not is_archive(tmp_path / "x")


def test_a_dump_is_no_archive(dumps):
    assert not is_archive(pathlib.Path(dumps[0]))


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(EndoscopeError, match="Is a directory"):
        is_archive(tmp_path)
