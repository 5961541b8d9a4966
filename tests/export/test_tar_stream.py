from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_export.content import Blob
from endoscope_export.tar_stream import FIXED_TIME, PIECE_BYTES, TarStream, header


@dataclass
class Shrinking:
    """Content that has fewer bytes than it promised, or breaks."""

    data: bytes
    size: int
    error: OSError | None = None
    modified: int | None = 1_600_000_000

    def read_into(self, room, offset):
        if offset >= len(self.data) and self.error:
            raise self.error
        return Blob(self.data).read_into(room, offset)

    def close(self):
        pass


def written(*entries):
    """Return a whole tar archive, and what was said of each entry."""
    tar, out, told = TarStream(), bytearray(), []

    def run():
        for path, content in entries:
            told.append((yield from tar.entry(path, content)))
        yield from tar.end()

    for piece in run():
        assert 0 < len(piece) <= PIECE_BYTES
        out += piece
    return bytes(out), told


def members(archive):
    opened = tarfile.open(  # noqa: SIM115
        fileobj=io.BytesIO(archive), encoding="utf-8", errors="surrogateescape"
    )
    with opened:
        return [(member, opened.extractfile(member).read()) for member in opened]


raw_names = st.binary(min_size=1, max_size=150).map(
    lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"0").decode("utf-8", "surrogateescape")
)
paths = st.lists(raw_names, min_size=1, max_size=4).map(lambda parts: "memory/" + "/".join(parts))


@given(st.lists(st.tuples(paths, st.binary(max_size=3000)), max_size=5))
def test_what_goes_in_comes_out(files):
    archive, told = written(*((path, Blob(data)) for path, data in files))
    assert [(member.name, data) for member, data in members(archive)] == files
    assert [sent.sha256 for sent in told] == [hashlib.sha256(d).hexdigest() for _, d in files]
    assert len(archive) % tarfile.RECORDSIZE == 0


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, PIECE_BYTES - 1, PIECE_BYTES + 1])
def test_every_size_is_padded_to_blocks(size):
    archive, _ = written(("memory/a", Blob(b"a" * size)), ("memory/b", Blob(b"end")))
    assert [len(data) for _, data in members(archive)] == [size, 3]


def test_a_member_belongs_to_nobody_and_made_content_has_the_fixed_time():
    archive, _ = written(("memory/a", Blob(b"x")))
    ((member, _),) = members(archive)
    assert (member.mode, member.uid, member.gid) == (0o644, 0, 0)
    assert (member.uname, member.gname, member.mtime) == ("", "", FIXED_TIME)


@pytest.mark.parametrize("size", [8**11 - 1, 8**11, 10**13])
def test_sizes_over_8_gib_are_right(size):
    head = header("memory/big", size, 0)
    member = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    assert member.size == size
    listed = subprocess.run(
        ["tar", "-tvf", "-"], input=head, capture_output=True, check=False, text=False
    )
    assert str(size).encode() in listed.stdout


@pytest.mark.parametrize("length", [99, 100, 101, 255, 256, 1000])
def test_long_paths_are_right(length):
    path = "memory/" + "/".join(["d" * 60] * 20)[: length - 8] + "x"
    archive, _ = written((path, Blob(b"x")))
    assert [member.name for member, _ in members(archive)] == [path]


def test_a_time_before_1970_becomes_1970():
    member = tarfile.TarInfo.frombuf(header("a", 0, -5), "utf-8", "surrogateescape")
    assert member.mtime == 0


@pytest.mark.parametrize("there", [0, 1000, PIECE_BYTES, 2 * PIECE_BYTES + 7])
def test_a_file_that_shrank_is_filled_up_with_zeros(there):
    promised = 3 * PIECE_BYTES + 5
    archive, (sent,) = written(("memory/a", Shrinking(b"x" * there, promised)))
    ((_, data),) = members(archive)
    assert data == b"x" * there + bytes(promised - there)
    assert sent.sha256 == hashlib.sha256(data).hexdigest()
    assert f"from {promised} to {there}" in sent.cut


def test_a_file_that_cannot_be_read_to_its_end_is_filled_up_with_zeros():
    broken = Shrinking(b"x" * 10, 20, OSError(5, "Input/output error"))
    archive, (sent, _) = written(("memory/a", broken), ("memory/b", Blob(b"next")))
    assert [data for _, data in members(archive)] == [b"x" * 10 + bytes(10), b"next"]
    assert "Input/output error" in sent.cut


def test_a_file_that_grew_is_sent_as_it_was():
    archive, (sent,) = written(("memory/a", Shrinking(b"x" * 1000, 10)))
    assert [data for _, data in members(archive)] == [b"x" * 10]
    assert sent.cut == ""
