"""Real shapes of secrets in real formats: of the marks, `«»` hold what must go."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endoscope_export.redaction import Rules

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
RULES = Rules.of((), {})

SECRET = re.compile("«(.+?)»")
KEPT = re.compile("\u2039(.+?)\u203a")
MARKS = re.compile("[«»\u2039\u203a·]")

each_format = pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)


def marked(path):
    # The dots keep those who scan repositories for secrets from finding these.
    return path.read_bytes().decode().replace("·", "")


def plain(path):
    return MARKS.sub("", marked(path)).encode()


def redacted(data, sizes=()):
    redactor = RULES.redactor()
    pieces, offset = [], 0
    for size in sizes:
        pieces.append(redactor.feed(data[offset : offset + size]))
        offset += size
    pieces.append(redactor.feed(data[offset:]))
    return b"".join([*pieces, redactor.finish()]), redactor.counts


def pieces(secret):
    return {secret[at : at + 5].encode() for at in range(max(1, len(secret) - 4))}


@each_format
def test_secrets_go_to_the_last_piece(path):
    result, _ = redacted(plain(path))
    others = MARKS.sub("", SECRET.sub("", marked(path))).encode()
    parts = set().union(*map(pieces, SECRET.findall(marked(path))))
    assert [part for part in parts if part in result and part not in others] == []


@each_format
def test_what_stands_around_them_stays(path):
    result, _ = redacted(plain(path))
    assert [s for s in KEPT.findall(marked(path)) if s.encode() not in result] == []


def test_there_are_many_secrets_and_no_two_are_alike():
    secrets = [secret for path in CORPUS for secret in SECRET.findall(marked(path))]
    assert len(secrets) > 120
    assert len(set(secrets)) == len(secrets)


@each_format
def test_redacting_again_changes_and_counts_nothing(path):
    once, _ = redacted(plain(path))
    assert redacted(once) == (once, {})


@each_format
@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 400), max_size=60), before=st.integers(0, 6000))
def test_chunks_make_no_difference(path, sizes, before):
    data = b"-" * before + b"\n" + plain(path)
    assert redacted(data, sizes) == redacted(data)


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.sampled_from(CORPUS), min_size=3, max_size=6),
    sizes=st.lists(st.integers(1, 3000), max_size=20),
    dropped=st.integers(0, 300),
)
def test_chunks_make_no_difference_to_what_is_cut_and_run_together(parts, sizes, dropped):
    data = b"".join(plain(path)[dropped:] for path in parts)
    assert redacted(data, sizes) == redacted(data)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_tiny_chunks_make_no_difference(size):
    data = b"\n".join(map(plain, CORPUS))
    assert redacted(data, [size] * (len(data) // size)) == redacted(data)
