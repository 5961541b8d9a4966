from __future__ import annotations

import pytest

from endoscope_export.redaction import RuleError, Rules


@pytest.mark.parametrize("pattern", ["(", "(?=x)", r"(a)\1", "*"])
def test_a_pattern_that_re2_cannot_compile_is_refused(pattern):
    with pytest.raises(RuleError) as caught:
        Rules.of((), {"mine": pattern})
    assert caught.value.name == "mine"
    assert "RE2" in caught.value.message
    assert str(caught.value).startswith("mine: ")


@pytest.mark.parametrize("pattern", ["", "x*", "(a|)", "^", "$", r"\b", "a?"])
def test_a_pattern_that_matches_the_empty_text_is_refused(pattern):
    with pytest.raises(RuleError, match="empty"):
        Rules.of((), {"mine": pattern})


@pytest.mark.parametrize("secret", ["", "short", "seven77", "*" * 8])
def test_a_secret_that_would_be_found_by_chance_is_not_searched(secret):
    text = f"see {secret} there"
    assert Rules.of([secret], {}).redacted(text) == text


def test_a_text_is_redacted_whatever_its_characters():
    rules = Rules.of(["pässwörter"], {"customer": "cust-[0-9]{8}"})
    text = "\udcff ä pässwörter cust-12345678 \ud800 token=x"
    assert rules.redacted(text) == "\udcff ä ******** ******** \ud800 token=********"


def test_one_set_of_rules_serves_many_texts():
    rules = Rules.of(["test-secret-123"], {})
    first, second = rules.redactor(), rules.redactor()
    assert first.feed(b"password=") + second.feed(b"hunter2") == b""
    assert second.finish() == b"hunter2"
    assert first.finish() == b"password="
