from __future__ import annotations

import base64
import html
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_export.redaction.spellings import longest, spellings

SECRETS = [
    "test-secret-123",
    "a\"b'c<d>e&f/g\\h",
    "line one\nline two\ttab",
    "pässwört-€-😀",
    "raw-\udcff\udc80-bytes",
    "a b+c%d=e?f",
]


def raw(secret):
    return secret.encode("utf-8", "surrogateescape")


def is_whole(secret, text):
    found = spellings([secret]).search(b"<<" + text + b">>")
    return found is not None and found.span() == (2, 2 + len(text))


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_found_as_it_is_percent_encoded_and_in_base64(secret):
    data = raw(secret)
    texts = [
        data,
        quote(data, safe="").encode(),
        quote(data).encode(),
        quote(data, safe="").lower().encode() if secret.islower() else data,
        quote_plus(data).encode(),
        base64.b64encode(data),
        base64.urlsafe_b64encode(data),
        base64.b64encode(data).rstrip(b"="),
        quote(base64.b64encode(data), safe="").encode(),
    ]
    assert [text for text in texts if not is_whole(secret, text)] == []


@pytest.mark.parametrize("secret", [s for s in SECRETS if s.isprintable() or "\n" in s])
def test_a_secret_is_found_escaped(secret):
    once = json.dumps(secret)[1:-1]
    texts = [
        once,
        json.dumps(once)[1:-1],
        json.dumps(json.dumps(once)[1:-1])[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        html.escape(secret),
        secret.encode("ascii", "xmlcharrefreplace").decode(),
        secret.replace("\n", "\r\n"),
        once.replace("/", r"\/"),
    ]
    assert [text for text in texts if not is_whole(secret, text.encode())] == []


@pytest.mark.parametrize("before", ["u:", "us:", "use:"])
def test_a_secret_is_found_within_longer_base64(before):
    secret = "test-secret-123"
    text = base64.b64encode(f"{before}{secret}:more".encode())
    found = spellings([secret]).search(text)
    assert found.end() - found.start() >= len(secret) - 2


def test_the_longest_spelling_is_found():
    found = spellings(["12345678", "1234567890"]).search(b"x1234567890x")
    assert found.span() == (1, 11)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=40))
def test_any_text_is_found_in_its_spellings_and_they_are_no_longer_than_told(secret):
    texts = [secret, json.dumps(secret)[1:-1], quote(secret, safe=""), html.escape(secret)]
    for text in texts:
        assert len(text.encode()) <= longest([secret])
        assert spellings([secret]).search(text.encode()).span() == (0, len(text.encode()))


def test_a_word_of_a_shell_that_holds_one_is_found():
    secret = "no-apostrophe$here"
    assert is_whole(secret, shlex.quote(secret)[1:-1].encode())
