import pytest
from hypothesis import given

from endoscope_profiles.comparison import diff
from made import PROFILES, profile


def grown(base, target):
    return {s.stack[0].function: s.bytes for s in diff(base, target).samples}


def test_growth_has_a_sign_and_what_is_alike_is_left_out():
    base = profile((5, "same"), (7, "shrank"), (3, "gone"))
    target = profile((5, "same"), (4, "shrank"), (2, "new"))
    assert grown(base, target) == {"new": 2, "shrank": -3, "gone": -3}


def test_the_most_growth_comes_first():
    assert list(grown(profile((9, "a")), profile((1, "b"), (2, "c")))) == ["c", "b", "a"]


def test_errors_add_up():
    (sample,) = diff(profile((4, "a")), profile((9, "a"))).samples
    assert (sample.bytes, sample.bytes_variance) == (5, 13)


def test_the_facts_are_the_target_s():
    assert diff(profile(taken="1"), profile(taken="2")).facts == {"taken": "2"}


@given(PROFILES, PROFILES)
def test_the_totals_differ_by_what_the_diff_says(base, target):
    changed = diff(base, target)
    assert changed.bytes == pytest.approx(target.bytes - base.bytes, abs=1e-3)
    assert changed.objects == pytest.approx(target.objects - base.objects, abs=1e-3)


@given(PROFILES)
def test_nothing_grows_from_a_profile_to_itself(whole):
    assert diff(whole, whole).samples == ()
