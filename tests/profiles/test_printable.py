import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_profiles.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Handler.get", "Handler.get"),
        ("größe ✓", "größe ✓"),
        ("a\nb\x1b[31m", "a\\u000ab\\u001b[31m"),
        ("\u202egnp", "\\u202egnp"),
        ("\ud800", "\\ud800"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


@given(st.text())
def test_whatever_it_is_it_can_be_shown(text):
    assert printable(text).isprintable()
    printable(text).encode()
