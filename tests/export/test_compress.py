from __future__ import annotations

import gzip
import io
import random
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from endoscope_export.compress import CHUNK_BYTES, FED_BYTES, FORMATS, Gzip, Zstd, compressed
from endoscope_export.pieces import FLUSH, Compressed, Cut, Pause

NOISE = random.Random(5).randbytes(1 << 20)  # noqa: S311 - incompressible, and the same each time


def generated(pieces):
    yield from pieces


def unzstd(data):
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()


READERS = {Gzip: gzip.decompress, Zstd: unzstd}


@pytest.mark.parametrize("compressor", READERS)
@given(st.lists(st.binary(max_size=500)))
def test_any_pieces_come_back(compressor, pieces):
    chunks = compressed(generated(pieces), compressor())
    assert READERS[compressor](b"".join(chunks)) == b"".join(pieces)


def test_a_pause_lets_the_caller_stop_and_lets_nothing_out():
    chunks = compressed(generated([b"x", Pause(), FLUSH, Pause()]), Gzip())
    assert next(chunks) == b""
    assert zlib.decompressobj(31).decompress(next(chunks)) == b"x"
    assert next(chunks) == b""


@given(st.lists(st.binary(max_size=50) | st.just(Cut()), max_size=20))
def test_cuts_make_streams_that_are_one_to_a_reader(pieces):
    whole = b"".join(compressed(generated(pieces), Gzip()))
    data = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    assert whole == b"" if not data else gzip.decompress(whole) == data


def test_a_copy_is_the_stream_between_two_cuts_and_can_be_sent_again_in_its_place():
    copy = bytearray()
    first = [b"before", Cut(copy.extend), NOISE, b"end", Cut(), b"after"]
    whole = b"".join(compressed(generated(first), Gzip()))
    assert gzip.decompress(bytes(copy)) == NOISE + b"end"
    again = [b"before", Cut(), Compressed(bytes(copy)), Cut(), b"after"]
    assert b"".join(compressed(generated(again), Gzip())) == whole


def test_what_follows_a_stream_is_flushed_in_the_same_places_whether_it_is_new_or_kept():
    copy, rest = bytearray(), [bytes(1 << 20)] * 20
    first = [NOISE[:5000], Cut(copy.extend), *[NOISE] * 7, Cut(), *rest]
    whole = b"".join(compressed(generated(first), Gzip()))
    again = [NOISE[:5000], Cut(), Compressed(bytes(copy)), Cut(), *rest]
    assert b"".join(compressed(generated(again), Gzip())) == whole


def test_zstd_tells_of_damage():
    whole = bytearray(b"".join(compressed(generated([NOISE]), Zstd())))
    whole[-1] ^= 1
    with pytest.raises(zstandard.ZstdError):
        unzstd(bytes(whole))


def test_only_formats_whose_readers_all_read_on_are_cut():
    assert {name: form.many_streams for name, form in FORMATS.items()} == {
        "tar.gz": True,
        "tar.zst": False,
    }


def test_the_header_holds_no_time_and_no_name():
    (chunk,) = compressed(generated([b"x"]), Gzip())
    assert chunk[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


@pytest.mark.parametrize("compressor", READERS)
def test_the_same_input_gives_the_same_bytes(compressor):
    runs = [b"".join(compressed(generated([NOISE, FLUSH, b"x"]), compressor())) for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_flush_lets_everything_out_at_once():
    chunks = compressed(generated([b"first entry", FLUSH, b"rest"]), Gzip())
    first = next(chunks)
    assert zlib.decompressobj(31).decompress(first) == b"first entry"


def test_a_flush_of_zstd_lets_everything_out_at_once():
    chunks = compressed(generated([b"first entry", FLUSH, b"rest"]), Zstd())
    first = next(chunks)
    assert zstandard.ZstdDecompressor().decompressobj().decompress(first) == b"first entry"


def test_chunks_are_of_about_one_size():
    pieces = [NOISE[at : at + 1000] for at in range(0, len(NOISE), 1000)]
    *chunks, _ = compressed(generated(pieces), Gzip())
    assert chunks
    # The compressor holds back what it has not decided on yet, and lets it out in one go.
    assert all(CHUNK_BYTES <= len(chunk) <= 2 * CHUNK_BYTES for chunk in chunks)


def test_input_that_compresses_to_nothing_does_not_hold_the_caller_up():
    taken = 0

    def zeros():
        nonlocal taken
        while True:
            taken += 1 << 20
            yield bytes(1 << 20)

    chunks = compressed(zeros(), Gzip())
    for chunk in (next(chunks), next(chunks)):
        assert chunk
    assert taken <= 2 * FED_BYTES
    chunks.close()


def test_closing_closes_the_pieces():
    closed = []

    def pieces():
        try:
            while True:
                yield NOISE
        finally:
            closed.append(True)

    chunks = compressed(pieces(), Gzip())
    next(chunks)
    chunks.close()
    assert closed == [True]
