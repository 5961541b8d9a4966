from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_profiles.whole_numbers import rounded


@given(st.lists(st.floats(-1e15, 1e15)))
def test_the_sum_is_the_rounded_sum_and_no_number_is_far_off(numbers):
    whole = rounded(numbers)
    assert sum(whole) == round(math.fsum(numbers))
    assert all(abs(new - old) < 1.5 for new, old in zip(whole, numbers, strict=True))


@given(st.lists(st.integers(-(10**15), 10**15)))
def test_whole_numbers_stay_as_they_are(numbers):
    assert rounded([float(number) for number in numbers]) == numbers


@pytest.mark.parametrize(
    ("numbers", "whole"),
    [
        ([0.4, 0.4, 0.4], [1, 0, 0]),
        ([0.6, 10.7, 0.7], [0, 11, 1]),
        ([0.3, 0.45, 0.3], [0, 1, 0]),
        ([-0.4, -0.4, -0.45], [0, 0, -1]),
        ([], []),
    ],
)
def test_what_is_missing_goes_where_it_changes_least(numbers, whole):
    assert rounded(numbers) == whole
