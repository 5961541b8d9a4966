from __future__ import annotations

import pytest

from endoscope.values import duration, value


@pytest.mark.parametrize(
    ("of", "text"),
    [(True, "yes"), (False, "no"), (None, "-"), (0, "0"), ("", ""), ("a\x1bb", "a\\x1bb")],
)
def test_values(of, text):
    assert value(of) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (61, "1m 1s"),
        (3600, "1h"),
        (3659, "1h"),
        (7500, "2h 5m"),
        (86400 * 3 + 3600 * 4 + 59, "3d 4h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
