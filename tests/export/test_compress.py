from __future__ import annotations

import gzip
import random
import zlib

from hypothesis import given
from hypothesis import strategies as st

from endoscope_export.compress import CHUNK_BYTES, FED_BYTES, Gzip, compressed
from endoscope_export.tar_stream import FLUSH

NOISE = random.Random(5).randbytes(1 << 20)  # noqa: S311 - incompressible, and the same each time


def generated(pieces):
    yield from pieces


@given(st.lists(st.binary(max_size=500)))
def test_any_pieces_come_back_and_no_chunk_is_empty(pieces):
    chunks = list(compressed(generated(pieces), Gzip()))
    assert all(chunks)
    assert gzip.decompress(b"".join(chunks)) == b"".join(pieces)


def test_the_header_holds_no_time_and_no_name():
    (chunk,) = compressed(generated([b"x"]), Gzip())
    assert chunk[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_the_same_input_gives_the_same_bytes():
    runs = [b"".join(compressed(generated([NOISE, FLUSH, b"x"]), Gzip())) for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_flush_lets_everything_out_at_once():
    chunks = compressed(generated([b"first entry", FLUSH, b"rest"]), Gzip())
    first = next(chunks)
    assert zlib.decompressobj(31).decompress(first) == b"first entry"


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
