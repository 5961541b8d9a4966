from __future__ import annotations

import pytest

from endoscope_export.redaction import Rules
from endoscope_export.redaction.searches import BLOCK


def redacted(text, patterns, secrets=(), sizes=()):
    redactor = Rules.of(secrets, patterns).redactor()
    pieces, offset = [], 0
    for size in sizes:
        pieces.append(redactor.feed(text[offset : offset + size]))
        offset += size
    pieces.append(redactor.feed(text[offset:]))
    return b"".join([*pieces, redactor.finish()]), redactor.counts


@pytest.mark.parametrize(
    ("pattern", "text", "result"),
    [
        (r"cust-[0-9]{3}", b"a cust-123, b", b"a ********, b"),
        (r"id=(\w+)", b"id=abc;", b"id=********;"),
        (r"(\w+)@(?P<secret>\w+)", b"a b@c d", b"a b@******** d"),
        (r"^foo.*$", b"a foo\nfoo bar\nb", b"a foo\n********\nb"),
        ("grün", "so grün".encode(), b"so ********"),
        (r"x(y)?z", b"xz", b"xz"),
    ],
)
def test_what_a_pattern_matches_is_masked(pattern, text, result):
    count = result.count(b"********")
    assert redacted(text, {"mine": pattern}) == (result, {"mine": count} if count else {})


def test_a_match_may_lie_across_blocks_and_windows():
    text = (b"-" * 999 + b"x" + b"y" * (BLOCK - 2) + b"z") * 200
    result, counts = redacted(text, {"mine": "xy*z"})
    assert result == (b"-" * 999 + b"********") * 200
    assert counts == {"mine": 200}


@pytest.mark.parametrize("size", [100, 1000, 5000])
@pytest.mark.parametrize(
    "pattern", ["x[^y]*y", r"(?s)x.*y", "^x", r"\bx", "x$", r"x+\z", "(x|xy)*"]
)
def test_what_matches_does_not_depend_on_windows(pattern, size):
    if pattern == "(x|xy)*":
        pattern += "y"
    text = (b"x" * 700 + b"y\n" + b"-" * 3000 + b"x y x" + b"x" * 5000 + b"y") * 4
    sizes = [size] * (len(text) // size)
    assert redacted(text, {"mine": pattern}, sizes=sizes) == redacted(text, {"mine": pattern})


def test_secrets_that_overlap_are_both_masked_under_one_mask():
    result, counts = redacted(b"-abcdefghijkl-", {}, secrets=["abcdefgh", "efghijkl"])
    assert result == b"-********-"
    assert counts == {"secret": 1}


def test_a_secret_is_masked_even_where_another_rule_sees_only_its_beginning():
    secret = "hunter2, the second"
    text = b'x password=hunter2, the second y password="hunter2, the second" z'
    result, _ = redacted(text, {}, secrets=[secret])
    assert result == b'x password=******** y password="********" z'


def test_a_secret_lies_across_chunks():
    text = b"-" * 5000 + b"test-secret-123" + b"-" * 5000
    for cut in range(4995, 5020):
        result, counts = redacted(text, {}, ["test-secret-123"], [cut, 3])
        assert result == b"-" * 5000 + b"********" + b"-" * 5000
        assert counts == {"secret": 1}
