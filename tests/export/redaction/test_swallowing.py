from __future__ import annotations

import pytest

from endoscope_export.redaction.expressions import expression
from endoscope_export.redaction.swallowing import (
    MOST_UNCLOSED,
    Brackets,
    Length,
    Quoted,
    Run,
    Until,
    block,
)


def taken(swallow, data, step=None):
    """Return what was swallowed, in windows of `step` bytes with 2 KiB to look ahead."""
    position, limit = 0, 0
    while swallow:
        limit = min(len(data), limit + step) if step else len(data)
        if limit > len(data) - 2048:
            limit = len(data)
        position, swallow = swallow.take(data, position, limit)
    return data[:position]


def test_a_length_is_taken_even_beyond_the_window():
    assert Length(5).take(b"abcdefgh", 1, 3) == (6, None)


def test_a_run_ends_where_its_content_does():
    assert taken(Run(expression(rb"\w*")), b"abc def") == b"abc"


@pytest.mark.parametrize("step", [40, 41, 100, 1000])
@pytest.mark.parametrize(
    ("swallow", "text", "rest"),
    [
        (Quoted(b'"'), rb"a\"b\\" * 300, rb'", "x": "y"'),
        (Quoted(b'"'), rb"\\\\" * 500, b'" x'),
        (Quoted(b'"', 1), rb"a\\\"b\\n" * 300, rb"\", \"x\""),
        (Quoted(b'"', 3), rb"a\\\\\\\"b" * 300, rb"\\\", x"),
        (Quoted(b"'"), b"it''s it'\"'\"'s it'\\''s " * 200, b"' x"),
        (Until(expression(b"-----END ")), b"MIIE--\n" * 500, b"-----END X-----"),
        (Brackets(spans=True), b'[1, "]", {"a": "\\"}"}, [2], ' + b"[]," * 900 + b"]", b", 4]"),
        (block(2), b"a: 1\n    b\n\n   c\n" * 200 + b"   d", b"\n  e: 1"),
        (block(0, items=True), b"a\n- b\n  c\n" * 400 + b"- d", b"\ne: 1"),
        (Run(expression(rb"(?:[^\s\\]|\\.)*")), rb"a\ b" * 700, b" c"),
    ],
)
def test_where_a_value_ends_does_not_depend_on_windows(swallow, text, rest, step):
    if swallow == block(2):
        text = text.replace(b"a: 1", b"   a: 1")
    if swallow == block(0, items=True):
        text = text.replace(b"a\n", b" a\n")
    assert taken(swallow, text + rest + b"\n" * 5000, step) == text


def test_a_quoted_text_goes_on_in_the_next_lines_if_it_is_closed_there():
    assert taken(Quoted(b'"'), b'one\ntwo" three\n') == b"one\ntwo"
    assert taken(Quoted(b'"'), b"one\ntwo three\n" * 200) == b"one"
    assert taken(Quoted(b'"', spans=False), b'one\ntwo" three') == b"one"


def test_brackets_that_do_not_span_end_with_the_line():
    assert taken(Brackets(spans=False), b"[1, {2\n3]") == b"[1, {2"
    assert taken(Brackets(spans=True), b"[1, {2\n}3] 4") == b"[1, {2\n}3]"


@pytest.mark.parametrize("swallow", [Brackets(spans=True), Until(expression(b"END"))])
@pytest.mark.parametrize("step", [1000, 65536, 200_000])
def test_what_is_never_closed_is_given_up(swallow, step):
    assert len(taken(swallow, b"[" * 300_000, step)) == MOST_UNCLOSED
