from __future__ import annotations

import pytest

from endoscope_export.redaction import Rules

RULES = Rules.of((), {})


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("http://user:pw@host/x", "http://user:********@host/x"),
        ("redis://:pw@host:6379/0", "redis://:********@host:6379/0"),
        ("amqp://u:a%40b%2Fc@h", "amqp://u:********@h"),
        ("db://u:p@ss:w@h:1/x?a=b@c", "db://u:********@h:1/x?a=b@c"),
        ("db://u:pa/ss@h", "db://u:********@h"),
        ("https://0123456789abcdefghij@host", "https://********@host"),
        ("x://a:1@h,y://b:2@h", "x://a:********@h,y://b:********@h"),
        ("https://token:x@h/x", "https://token:********@h/x"),
    ],
)
def test_passwords_are_masked(url, redacted):
    assert RULES.redacted(f"see {url}, please") == f"see {redacted}, please"


@pytest.mark.parametrize(
    "url",
    [
        "https://host:8080/path?mail=a@b.c",
        "https://host/~user:x@y",
        "https://git@github.com/x",
        "https://user:@host",
        "https://user:${PASSWORD}@host",
        "https://user:<password>@host",
        "https://[::1]:80/a@b",
        "://u:p@h",
        "mail me: a@b.c",
    ],
)
def test_others_stay(url):
    assert RULES.redacted(f"see {url}") == f"see {url}"
