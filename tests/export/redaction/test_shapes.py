from __future__ import annotations

import pytest

from endoscope_export.redaction import Rules
from endoscope_export.redaction.swallowing import MOST_UNCLOSED

RULES = Rules.of((), {})


def test_a_token_is_masked_wherever_it_stands():
    token = "gh" + "p_" + "0123456789abcdefghijABCDEFGHIJ012345"
    for text in ["see {}.", "<{}>", "x={}&y", "a/{}", '"{}"', "{}\n"]:
        assert RULES.redacted(text.format(token)) == text.format("********")


def test_the_scheme_and_the_host_stay():
    assert RULES.redacted("Bearer " + "a1" * 10) == "Bearer ********"
    hook = "https://hooks.slack.com/" + "services/T0000/B0000/abcdefgh"
    assert RULES.redacted(hook) == "https://hooks.slack.com/services/********"


@pytest.mark.parametrize(
    "text",
    [
        "Bearer authentication is used",
        "pip install sk-learn hf_hub npm_config",
        "disk_live_migration_enabled",
        "risk-assessment-of-something-long-enough",
        "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "2026-11-25T08:00:00.123456 0123456789abcdef0123456789abcdef",
        "eyJ is how a token begins",
    ],
)
def test_what_only_looks_a_little_like_it_stays(text):
    assert RULES.redacted(text) == text


def test_a_private_key_that_is_not_closed_hides_what_follows_up_to_a_limit():
    redactor = RULES.redactor()
    begin = b"-----BEGIN RSA PRI" + b"VATE KEY-----\n"
    result = redactor.feed(begin + b"MIIE\n" * 20_000) + redactor.finish()
    assert result.startswith(begin + b"********")
    assert len(result) < 100_000 - MOST_UNCLOSED + 100
    assert redactor.counts == {"private_key": 1}
