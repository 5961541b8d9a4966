import gzip
import io
import itertools
import tracemalloc

import pytest
import zstandard

from endoscope.errors import EndoscopeError
from endoscope_report.byte_stream import ByteStream, CutOffError, DamageError, opened

TEXT = b"0123456789" * 100_000


def read_all(packed):
    stream = ByteStream(io.BytesIO(packed))
    return b"".join(iter(lambda: stream.read(70_001), b""))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_every_compression_gives_the_same_bytes(pack):
    assert read_all(pack(TEXT)) == TEXT


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_several_streams_in_a_file_are_one(pack):
    assert read_all(pack(TEXT) + pack(b"") + pack(b"end")) == TEXT + b"end"


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_one_that_ends_early_is_cut_off(pack):
    packed = pack(b"text" * 20)
    for end in range(5, len(packed)):
        with pytest.raises(CutOffError):
            read_all(packed[:end])


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("more", [b"\0", b"garbage", bytes(512)])
def test_what_follows_the_last_stream_is_damage(pack, more):
    with pytest.raises(DamageError):
        read_all(pack(TEXT) + more)


def test_a_read_is_short_at_the_end_only():
    stream = ByteStream(io.BytesIO(gzip.compress(b"abcdefg")))
    assert [stream.read(3) for _ in range(4)] == [b"abc", b"def", b"g", b""]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_bomb_takes_no_memory_of_its_size(pack):
    packed = pack(bytes(200_000_000))
    assert len(packed) < 500_000
    tracemalloc.start()
    stream = ByteStream(io.BytesIO(packed))
    read = sum(map(len, itertools.takewhile(bool, (stream.read(1 << 18) for _ in range(10_000)))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == 200_000_000
    assert peak < 80_000_000


def test_progress_counts_the_bytes_of_the_file(tmp_path):
    (tmp_path / "x").write_bytes(gzip.compress(TEXT))
    told = []
    with opened(tmp_path / "x", told.append) as stream:
        while stream.read(1 << 20):
            pass
    assert told[-1] == (tmp_path / "x").stat().st_size


def test_what_cannot_be_read_says_so(tmp_path):
    with pytest.raises(EndoscopeError, match="Is a directory") as caught, opened(tmp_path):
        pass
    assert caught.value.code == "unreadable"
