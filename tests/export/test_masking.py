from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field

import pytest

from endoscope_export.content import Blob, ContentError
from endoscope_export.masking import Masking, is_text
from endoscope_export.pieces import Pause
from endoscope_export.redaction import Rules

SECRET = "test-secret-123"
NOISE = random.Random(7).randbytes(1 << 16)  # noqa: S311


@dataclass
class Watch:
    """Has time for so many blocks."""

    blocks: int = 10**9
    ran: int = field(default=0)

    def running(self):
        self.ran += 1
        return contextlib.nullcontext()

    def require_time(self):
        if self.ran >= self.blocks:
            raise ContentError("timed_out", "late")


@dataclass
class Changing:
    """Content that promises `size` bytes, and ends or fails where its data does."""

    data: bytes
    size: int
    error: OSError | None = None
    modified: int | None = 1_600_000_000
    closed: bool = False

    def read_into(self, room, offset):
        if offset >= len(self.data) and self.error:
            raise self.error
        return Blob(self.data).read_into(room, offset)

    def close(self):
        self.closed = True


@pytest.fixture
def masking(tmp_path):
    return Masking(Rules.of([SECRET], {}), tmp_path)


def finished(steps):
    """Return what a generator returns, and how often it paused."""
    pauses = 0
    while True:
        try:
            assert isinstance(next(steps), Pause)
            pauses += 1
        except StopIteration as end:
            return end.value, pauses


def mask(masking, content, most=None, watch=None):
    masked, _ = finished(masking.mask(content, most, watch or Watch()))
    data = bytearray(masked.content.size)
    assert masked.content.read_into(memoryview(data), 0) == len(data)
    masked.content.close()
    return bytes(data), masked


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", True),
        (b"plain", True),
        ("ünï\n".encode(), True),
        (b"caf\xe9 in latin-1\n", True),
        (b"\x1b[31mred\x1b[0m\r\n\ttab\f", True),
        (bytes(5000) + b"2026-03-01 a log that was emptied\n", True),
        (bytes(9000), True),
        (b"text\0text", False),
        (b"\x7fELF\x02\x01\x01\0\0", False),
        (bytes(100) + b"tail\0", False),
        (NOISE, False),
        (NOISE.replace(b"\0", b"")[:500], False),
    ],
)
def test_what_is_text(data, text):
    assert is_text(Blob(data)) is text


def test_secrets_are_gone_and_counted(masking):
    data, masked = mask(masking, Blob(f"a {SECRET} b\npassword: hunter2\n".encode(), 7))
    assert SECRET.encode() not in data
    assert b"hunter2" not in data
    assert dict(masked.redactions) == {"secret": 1, "key": 1}
    assert (masked.content.modified, masked.cut) == (7, "")


@pytest.mark.parametrize("before", [0, 65_530, 65_536, 131_065, 2_000_000])
def test_a_secret_across_the_ends_of_blocks_is_found(masking, before):
    data, masked = mask(masking, Blob(b"-" * before + SECRET.encode() + b"-" * 70_000))
    assert SECRET.encode() not in data
    assert data.strip(b"-") == b"*" * 8
    assert dict(masked.redactions) == {"secret": 1}


def test_there_is_a_pause_between_blocks_and_none_for_little(masking):
    assert finished(masking.mask(Blob(b"x"), None, Watch()))[1] == 0
    assert finished(masking.mask(Blob(b"x\n" * 100_000), None, Watch()))[1] == 3


def test_without_time_it_stops_after_a_block_and_closes_everything(masking, tmp_path):
    content = Changing(b"x" * 200_000, 200_000)
    with pytest.raises(ContentError):
        mask(masking, content, watch=Watch(blocks=1))
    assert content.closed


def test_one_block_is_masked_even_without_time(masking):
    data, _ = mask(masking, Blob(b"here already"), watch=Watch(blocks=0))
    assert data == b"here already"


def test_of_too_much_the_end_is_taken_from_a_line_s_beginning(masking):
    lines = b"".join(b"line %07d\n" % number for number in range(100_000))
    data, masked = mask(masking, Blob(lines), most=1000)
    assert len(data) <= 1000
    assert lines.endswith(b"\n" + data)
    assert len(data) > 1000 - 13
    assert masked.cut == f"only the last {len(data)} of its {len(lines)} bytes are here"


def test_too_much_on_one_line_is_cut_where_it_must_be(masking):
    data, _ = mask(masking, Blob(b"x" * 300_000), most=1000)
    assert data == b"x" * 1000


def test_as_much_as_allowed_is_whole(masking):
    assert mask(masking, Blob(b"ab\ncd\n"), most=6)[1].cut == ""


def test_a_private_key_that_begins_before_the_cut_is_still_masked(masking):
    body = b"".join(b"c2VjcmV0%056d\n" % number for number in range(40))
    key = b"-----BEGIN RSA PRIVATE KEY-----\n" + body + b"-----END RSA PRIVATE KEY-----\n"
    data, _ = mask(masking, Blob(b"log\n" * 50_000 + key + b"log\n" * 100), most=1500)
    assert b"c2VjcmV0" not in data
    assert data.endswith(b"log\n" * 100)


def test_a_secret_that_the_cut_goes_through_is_not_shown(masking):
    line = b"password=" + b"s3cr3t-" * 130 + b"\n"
    data, masked = mask(masking, Blob(line * 2000), most=100_000)
    assert b"s3cr3t" not in data
    assert data.startswith(b"password=********\n")
    assert masked.cut


def test_nor_is_one_on_a_line_without_end(masking):
    data, _ = mask(
        masking, Blob(b"password=" + b"s3cr3t-" * 15_000 + b" " + b"x" * 5000), most=50_000
    )
    assert b"s3cr3t-" not in data[-5000:]
    assert len(data) <= 50_000


@pytest.mark.parametrize(
    ("error", "says"),
    [(None, "shrank from 100 to 5 bytes"), (OSError(5, "Input/output error"), "failed after 5")],
)
def test_what_ends_early_is_short_and_says_so(masking, error, says):
    data, masked = mask(masking, Changing(b"12345", 100, error))
    assert data == b"12345"
    assert says in masked.cut


def test_what_grew_is_taken_as_it_was(masking):
    assert mask(masking, Changing(b"0123456789", 4))[0] == b"0123"
