from __future__ import annotations

import pickle

import pytest

from endoscope_profiles import ProfileError


@pytest.mark.parametrize(
    ("line", "cut_off", "told"),
    [
        (3, False, "expected a row at line 3 (byte 12)"),
        (3, True, "expected a row at line 3 (byte 12), where the profile is cut off"),
        (0, False, "expected a row at byte 12"),
    ],
)
def test_an_error_says_what_was_expected_and_where(line, cut_off, told):
    assert str(ProfileError("a row", line, 12, cut_off)) == told


def test_an_error_survives_pickling():
    error = ProfileError("a row", 3, 12, cut_off=True)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - what was just pickled
    assert str(copy) == str(error)
    assert (copy.expected, copy.line, copy.offset, copy.cut_off) == ("a row", 3, 12, True)
