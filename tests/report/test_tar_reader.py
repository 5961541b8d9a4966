import io
import subprocess
import tarfile

import pytest

from endoscope_report import tar_reader
from endoscope_report.byte_stream import ByteStream, CutOffError, DamageError
from endoscope_report.tar_reader import TarReader


def read(tar):
    """Return what is in a tar, read to its end."""
    reader = TarReader(ByteStream(io.BytesIO(tar)))
    found = [(member.path, b"".join(content)) for member, content in reader]
    reader.finish()
    return found


NAMES = ["a", "b/" + "c" * 99, "d/" * 60 + "e", "é" * 80, "bytes-\udcff", "x" * 255]


def test_members_of_any_name_and_size(build):
    members = [(name, b"y" * size) for name, size in zip(NAMES, range(510, 516), strict=True)]
    assert read(build.tar(*members)) == members


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_the_headers_of_other_programs(form):
    info = tarfile.TarInfo("folder/" * 20 + "x")
    tar = info.tobuf(form) + bytes(10240 - len(info.tobuf(form)))
    assert read(tar) == [(info.name, b"")]


def test_an_archive_of_gnu_tar(tmp_path):
    (tmp_path / ("n" * 120)).write_bytes(b"x" * 1000)
    words = ["tar", "--format=gnu", "-cf", tmp_path / "x.tar", "-C", tmp_path, "n" * 120]
    subprocess.run(words, check=True)
    assert read((tmp_path / "x.tar").read_bytes()) == [("n" * 120, b"x" * 1000)]


def test_content_that_nobody_takes_is_passed_over(build):
    tar = build.tar(("a", b"1" * 10_000), ("b", b"2"))
    reader = TarReader(ByteStream(io.BytesIO(tar)))
    assert [member.path for member, _ in reader] == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.DIRTYPE, "a folder"),
        (b"Z", "of the kind 'Z'"),
    ],
)
def test_what_is_no_file_says_what_it_is(build, kind, what):
    ((member, _),) = TarReader(ByteStream(io.BytesIO(build.tar(("x", b"", {"type": kind})))))
    assert (member.is_file, member.what) == (False, what)


def test_truncated_anywhere_it_is_cut_off(build):
    tar = build.tar(("a", b"1" * 700), ("n" * 150, b"2"))
    for end in [*range(512), *range(512, len(tar), 100), len(tar) - 1]:
        with pytest.raises(CutOffError):
            read(tar[:end])


@pytest.mark.parametrize("more", [b"\0", b"x", bytes(10240)])
def test_what_follows_the_end_is_told(build, more):
    with pytest.raises(DamageError) as caught:
        read(build.tar(("a", b"")) + more)
    assert caught.value.code == "trailing"


@pytest.mark.parametrize("place", [520, 1030, 2000])
def test_nothing_can_be_hidden_between_and_behind(build, place):
    tar = bytearray(build.tar(("a", b"12345")))
    tar[place] = 7
    with pytest.raises(DamageError):
        read(bytes(tar))


def test_every_byte_of_a_header_is_under_its_checksum(build):
    tar = build.tar(("a", b"12345"))
    for place in range(512):
        damaged = bytearray(tar)
        damaged[place] ^= 0x21
        with pytest.raises(DamageError):
            read(bytes(damaged))


def test_a_sparse_file_ends_it(build):
    with pytest.raises(DamageError, match="sparse") as caught:
        read(build.tar(("a", b"", {"type": tarfile.GNUTYPE_SPARSE})))
    assert caught.value.code == "not_regular"


def test_two_long_names_for_one_file_are_damage(build):
    """Some programs would take the first, others the second."""
    link = {"type": tarfile.GNUTYPE_LONGNAME}
    names = [("././@LongLink", b"one\0", link), ("././@LongLink", b"two\0", link)]
    with pytest.raises(DamageError, match="second name"):
        read(build.tar(*names, ("x", b"")))


def test_a_name_of_a_gigabyte_is_not_read(build):
    tar = build.tar(("x", b"", {"type": tarfile.GNUTYPE_LONGNAME, "size": 1 << 30}))
    with pytest.raises(DamageError, match="a name of"):
        read(tar)


def test_sizes_beyond_octal_digits(build):
    tar = build.tar(("x", b"", {"size": 1 << 40}), end=False)
    with pytest.raises(CutOffError, match="1,099,511,627,776 bytes before the end of x"):
        read(tar)


@pytest.mark.parametrize("content", [b"x" * 2000, b"PK\3\4" + bytes(600), b"{" * 512])
def test_what_is_no_tar(content):
    with pytest.raises(DamageError) as caught:
        read(content)
    assert caught.value.code == "no_archive"


def test_an_empty_file():
    with pytest.raises(CutOffError, match="empty"):
        read(b"")


def test_members_are_bounded(build, monkeypatch):
    monkeypatch.setattr(tar_reader, "MOST_MEMBERS", 2)
    with pytest.raises(DamageError) as caught:
        read(build.tar(("a", b""), ("b", b""), ("c", b"")))
    assert caught.value.code == "too_many"


def test_paths_are_bounded_together(build, monkeypatch):
    monkeypatch.setattr(tar_reader, "MOST_PATH_CHARACTERS", 200)
    with pytest.raises(DamageError, match="more than"):
        read(build.tar(("a" * 90, b""), ("b" * 90, b""), ("c" * 90, b"")))
