from __future__ import annotations

import sys
import tracemalloc

import pytest

from endoscope_export.redaction import Rules

RULES = Rules.of(["test-secret-123"], {"customer": "cust-[0-9]{8}"})

MASK = b"********"


def redacted(data):
    redactor = RULES.redactor()
    return redactor.feed(data) + redactor.finish(), redactor.counts


def test_nothing_becomes_nothing():
    assert redacted(b"") == (b"", {})


def test_replacements_are_counted_by_rule():
    lines = {
        b"password: a": b"password: ********",
        b"token=b": b"token=********",
        b"postgres://u:p@h": b"postgres://u:********@h",
        b"Authorization: Basic eDp5": b"Authorization: Basic ********",
        b"cust-12345678 test-secret-123": b"******** ********",
    }
    counts = {"key": 2, "url": 1, "authorization": 1, "customer": 1, "secret": 1}
    assert redacted(b"\n".join(lines)) == (b"\n".join(lines.values()), counts)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "cp1252"])
def test_bytes_of_any_encoding_stay_as_they_are(encoding):
    text = "Größe: 5 €".encode(encoding, "replace")
    assert (
        redacted(text + b" password=x\xff\xfe " + text)[0] == text + b" password=******** " + text
    )
    assert redacted(bytes(range(256)) * 100) == (bytes(range(256)) * 100, {})


@pytest.mark.parametrize("size", [1, 100, 4096, 200_000])
def test_at_most_4_kib_are_held_back(size):
    redactor = RULES.redactor()
    given = taken = 0
    for _ in range(max(3, 20_000 // size)):
        taken += len(redactor.feed(b"x" * size))
        given += size
        assert given - taken <= 4096
    assert taken + len(redactor.finish()) == given


VALUES = [
    (b'password: "', b"x" * 65536),
    (b"password: ", b"x y " * 16384),
    (b"secret: |\n  ", b"x\n  " * 16384),
    (b"token=", b"x" * 65536),
    (b"<password>", b"x" * 65536),
    (b"gh" + b"p_", b"x" * 65536),
    (b"{'password': '", b"\\'" * 32768),
]


@pytest.mark.parametrize(("begin", "piece"), VALUES)
def test_a_value_without_an_end_is_swallowed_in_constant_memory(begin, piece):
    redactor = RULES.redactor()
    result = redactor.feed(begin)
    tracemalloc.start()
    for _ in range(300):
        result += redactor.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result + redactor.finish() in {begin + MASK, MASK}
    assert peak < 1_000_000


def steps(data):
    """Count the calls of functions while `data` is redacted."""
    count = 0

    def step(_frame, event, _argument):
        nonlocal count
        count += event in {"call", "c_call"}

    redactor = RULES.redactor()
    before = sys.getprofile()
    sys.setprofile(step)
    try:
        redactor.feed(data)
        redactor.finish()
    finally:
        sys.setprofile(before)
    return count


PEM = b"-----BEGIN RSA %b KEY-----" % b"PRIVATE"

HOSTILE = [
    *[b"password=", b'password="', b"password='\n", b'password="\\', b"password: [[[[", b"token"],
    *[b"password: {{", b"password: |\n", b"password:\n ", b"<password>", b"<password ", b"key='"],
    *[b"--password ", b"cookie: ", b"token ", b"login x password ", b"name: password\nvalue"],
    *[b"&quot;password&quot;: &quot;", b"://", b"://a:", b"://a:b@", b"@", b"-----BEGIN ", PEM],
    *[b'"', b"[", b"\0", b"\\", b"\n", b"Bearer ", b"eyJ", b"sk-proj-", b"0123456", b"a."],
    *[b"test-secret-", b"cust-", b"cust-12345678"],
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_grows_with_the_text_and_no_faster(piece):
    small, large = (piece * (size // len(piece)) for size in (40_000, 160_000))
    assert steps(large) < 5 * steps(small) + 500


@pytest.mark.parametrize("size", [200_000, 800_000])
def test_what_lies_in_a_long_mask_is_not_remembered(size):
    redactor = RULES.redactor()
    waiting = 0
    text = b'password="' + b"test-secret-123 " * (size // 16)
    for offset in range(0, len(text), 10_000):
        redactor.feed(text[offset : offset + 10_000])
        waiting = max(waiting, len(redactor._waiting))
    assert waiting < 1000
