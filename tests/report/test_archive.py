import pathlib

import pytest

from endoscope.errors import EndoscopeError
from endoscope_report.archive import Archive, is_archive


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
        assert "evil.prof" in found.dumps
        unpacked_to = found.binaries.parent
        assert {path.parent for path in found.dumps.values()} == {unpacked_to}
        assert not [path for path in unpacked_to.rglob("*") if "evil" in path.name]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.zst", "a.tar"])
def test_one_that_breaks_off_gives_what_it_has(archive, name):
    path = pathlib.Path(archive(name=name))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with unpacked(name) as found:
        assert not found.complete
        assert len(found.dumps) <= 3


def test_one_without_its_manifest_is_incomplete(archive):
    archive(complete=False)
    with unpacked("shop.tar.gz") as found:
        assert not found.complete


@pytest.mark.parametrize("content", [b"", b"x", b"\x1f\x8bnot gzip", b"\x28\xb5\x2f\xfdno"])
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert not is_archive(tmp_path / "x")


def test_a_dump_is_no_archive(dumps):
    assert not is_archive(pathlib.Path(dumps[0]))


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(EndoscopeError, match="Is a directory"):
        is_archive(tmp_path)
