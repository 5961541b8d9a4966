from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import mmap
import tarfile
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dumps import DUMP, GET, HEAP, MAIN
from endoscope_profiles import Profile, ProfileError, jemalloc_heap, limits, pprof, reading
from endoscope_profiles.profile_proto import ProfileMessage

PROFILE = jemalloc_heap.parse(DUMP)
PPROF = pprof.write(PROFILE)
PLAIN = gzip.decompress(PPROF)
MESSAGE = ProfileMessage.FromString(PLAIN)
COMPRESSED = {
    "gzip": gzip.compress(DUMP),
    "zstd": zstandard.compress(DUMP),
    "several gzip members": gzip.compress(DUMP[:300])
    + gzip.compress(b"")
    + gzip.compress(DUMP[300:]),
    "several zstd frames": zstandard.compress(DUMP[:300]) + zstandard.compress(DUMP[300:]),
    "gzip, filled up": gzip.compress(DUMP) + bytes(1000),
    "zstd behind a frame to be skipped": b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    + zstandard.compress(DUMP),
}


ROWS = (b"  t1: 1: 1 [0: 0] " + bytes(60_000) + b"\n") * 50


def tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.prof"), io.BytesIO())
    return file.getvalue()


def error(source):
    with pytest.raises(ProfileError) as raised:
        reading.read(source)
    return raised.value


# --- what is read -----------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [DUMP, *COMPRESSED.values()], ids=["plain", *COMPRESSED])
def test_a_dump_is_read_however_it_is_stored(stored):
    assert reading.read(stored) == PROFILE
    assert reading.native_addresses(stored) == jemalloc_heap.native_addresses(DUMP)


@pytest.mark.parametrize("stored", [PPROF, PLAIN, zstandard.compress(PLAIN)])
def test_pprof_is_read_however_it_is_stored(stored):
    profile = reading.read(stored)
    assert profile == pprof.parse(PLAIN)
    assert {sample.stack for sample in profile.samples} == {s.stack for s in PROFILE.samples}
    assert reading.native_addresses(stored).addresses == ()


@pytest.mark.parametrize("first", [field.name for field, _ in MESSAGE.ListFields()])
def test_pprof_is_known_by_whatever_field_is_first(first):
    """Go's begin with their period, or their time."""
    alone, others = (ProfileMessage.FromString(PLAIN) for _ in range(2))
    for field, _ in MESSAGE.ListFields():
        (others if field.name == first else alone).ClearField(field.name)
    stored = alone.SerializeToString() + others.SerializeToString()
    assert reading.read(stored) == pprof.parse(PLAIN)


def test_a_dump_without_names_is_read():
    assert reading.read(HEAP) == jemalloc_heap.parse(HEAP)


def test_any_source_will_do(tmp_path):
    path = tmp_path / "x.prof.gz"
    path.write_bytes(COMPRESSED["gzip"])
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as map_:
        assert reading.read(file) == reading.read(map_) == PROFILE
    single = (bytes([byte]) for byte in COMPRESSED["zstd"])
    assert reading.read(single) == reading.read(memoryview(DUMP)) == PROFILE


def test_threads_and_names_are_passed_on():
    stack = reading.read(COMPRESSED["gzip"], threads=True).samples[0].stack
    assert stack == (GET, MAIN, jemalloc_heap.parse(DUMP, threads=True).samples[0].stack[-1])
    named = reading.read(COMPRESSED["zstd"], native_names={0x7F0012345677: (GET, MAIN)})
    assert (GET, MAIN, MAIN) in {sample.stack for sample in named.samples}


# --- damaged, cut off, too much ---------------------------------------------------------------


@pytest.mark.parametrize("stored", [COMPRESSED["gzip"], COMPRESSED["zstd"], PPROF])
def test_a_compressed_file_that_was_cut_off_anywhere_says_so(stored):
    for length in range(4, len(stored)):
        told = error(stored[:length])
        assert told.cut_off
        assert told.expected in {"the rest of the gzip file", "the rest of the zstd file"}


def test_where_a_file_is_cut_off_is_told_in_lines_of_its_text():
    text = b"heap_v2/1\n  t*: 1: 1 [0: 0]\n" + b"@ 0x1\n  t*: 1: 1 [0: 0]\n" * 100_000
    told = error(gzip.compress(text)[:-2000])
    assert 100 < told.line < 200_003
    assert told.offset == sum(map(len, text.splitlines(keepends=True)[: told.line - 1]))


def test_an_empty_file_and_one_with_hardly_a_beginning_are_cut_off():
    for stored in (b"", b"heap_", b"--- sy", gzip.compress(b""), zstandard.compress(b"heap_v2/5")):
        assert error(stored).cut_off


CHECKED = zstandard.ZstdCompressor(write_checksum=True).compress(DUMP)


@pytest.mark.parametrize("stored", [COMPRESSED["gzip"], CHECKED, PPROF])
def test_no_number_is_taken_from_a_damaged_file(stored):
    """Both formats have a checksum, which stands at the end, behind all numbers."""
    for at in range(10, len(stored)):
        damaged = bytearray(stored)
        damaged[at] ^= 0x11
        assert error(damaged).expected


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_bomb_is_refused_and_memory_stays_small(compress, monkeypatch):
    monkeypatch.setattr(limits, "DECOMPRESSED_BYTES", 200_000_000)
    bomb = compress(b"heap_v2/1\n" + ROWS)
    tracemalloc.start()
    try:
        told = error(itertools.chain([bomb], itertools.repeat(compress(ROWS), 1000)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert told.expected == "at most 200,000,000 decompressed bytes"
    assert peak < 50_000_000


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_bomb_without_lines_is_refused_by_its_first(compress):
    told = error(compress(b"heap_v2/1\n" + bytes(100_000_000)))
    assert (told.expected, told.line) == (f"a line of at most {limits.LINE_BYTES:,} bytes", 2)


def test_a_large_pprof_profile_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "PPROF_BYTES", len(PLAIN) - 1)
    assert error(PPROF).expected == f"at most {len(PLAIN) - 1:,} bytes of pprof"
    monkeypatch.setattr(limits, "PPROF_BYTES", len(PLAIN))
    assert reading.read(PPROF).samples


# --- other formats ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "what", "remedy"),
    [
        (tar(), "a tar archive", "unpack it"),
        (gzip.compress(tar()), "a tar archive", "unpack it"),
        (gzip.compress(COMPRESSED["gzip"]), "compressed twice", "decompress it once"),
        (b"heap profile: 1: 2 [3: 4] @ heap/1048576\n", "gperftools", "go tool pprof -proto"),
        (b"memray\0\x0b\0\0\0", "memray", "memray's own"),
        (b"\x80\x04\x95", "pickle", "dump"),
        (b"\x7fELF\x02", "program", "dump"),
        (b"\xfd7zXZ\x00", "xz", "decompress it"),
        (b'{"profiles": []}', "JSON", "made from"),
        (b"<!DOCTYPE html>", "web page", "download it anew"),
        (b"what is this", "not this", "wrote it"),
    ],
)
def test_another_format_is_called_by_its_name(stored, what, remedy):
    told = error(stored)
    assert told.expected.startswith("a heap profile")
    assert what in told.expected
    assert remedy in told.expected
    assert (told.line, told.offset, told.cut_off) == (1, 0, False)
    with pytest.raises(ProfileError, match=what):
        reading.native_addresses(stored)


@given(
    st.binary(), st.sampled_from([b"", b"\x0a", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"heap_v2/"])
)
def test_any_bytes_are_a_profile_or_an_error(data, beginning):
    with contextlib.suppress(ProfileError):
        assert isinstance(reading.read(beginning + data), Profile)
