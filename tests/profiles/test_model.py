from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_profiles import Frame, Profile, Sample, merge

GET = Frame("Handler.get", "/srv/app/service.py", 41)
MAIN = Frame("main", "/srv/app/service.py", 7)
ZLIB = Frame("deflateInit2_", "/lib/libz.so.1")

frames = st.sampled_from([GET, MAIN, ZLIB, Frame("[no Python]")])
stacks = st.lists(frames, min_size=1, max_size=3).map(tuple)
# Whole numbers are added without rounding, so that the order does not show.
amounts = st.integers(0, 2**40).map(float)
samples = st.builds(Sample, stacks, amounts, amounts, amounts, amounts)


def numbers(items):
    return [
        sum(getattr(sample, name) for sample in items)
        for name in ("objects", "bytes", "objects_variance", "bytes_variance")
    ]


def test_a_frame_of_which_only_the_function_is_known():
    assert Frame("[no Python]") == Frame("[no Python]", "", 0)


def test_standard_errors_are_roots_of_variances():
    sample = Sample((GET,), 10, 1000, objects_variance=9, bytes_variance=250_000)
    assert (sample.objects_error, sample.bytes_error) == (3, 500)


def test_an_exact_sample_has_no_error():
    sample = Sample((GET,), 10, 1000)
    assert (sample.objects_error, sample.bytes_error) == (0, 0)


def test_merging_adds_values_and_variances_of_equal_stacks():
    merged = merge(
        [
            Sample((GET, MAIN), 1, 10, 0.5, 50),
            Sample((MAIN,), 1, 1, 1, 1),
            Sample((Frame(*GET), MAIN), 2, 20, 0.25, 25),
        ]
    )
    assert merged == (Sample((GET, MAIN), 3, 30, 0.75, 75), Sample((MAIN,), 1, 1, 1, 1))


def test_the_order_of_frames_makes_a_stack():
    assert len(merge([Sample((GET, MAIN), 1, 1), Sample((MAIN, GET), 1, 1)])) == 2


@given(st.lists(samples))
def test_merging_keeps_the_sums_and_every_stack_once(items):
    merged = merge(iter(items))
    assert numbers(merged) == numbers(items)
    assert sorted(sample.stack for sample in merged) == sorted({item.stack for item in items})
    assert merge(merged) == merged


@given(st.lists(samples), st.randoms(use_true_random=False))
def test_the_biggest_are_first_whatever_the_order_was(items, chance):
    shuffled = list(items)
    chance.shuffle(shuffled)
    merged = merge(shuffled)
    assert merged == merge(items)
    assert [s.bytes for s in merged] == sorted((s.bytes for s in merged), reverse=True)


def test_a_profile_has_totals_and_their_errors():
    profile = Profile((Sample((GET,), 4, 400, 9, 90_000), Sample((MAIN,), 1, 50, 16, 70_000)), 4096)
    assert (profile.objects, profile.bytes) == (5, 450)
    assert (profile.objects_error, profile.bytes_error) == (5, 400)


def test_an_empty_profile_holds_nothing():
    profile = Profile((), 1)
    assert (profile.objects, profile.bytes, profile.objects_error, profile.bytes_error) == (0,) * 4
    assert profile.facts == {}


def test_totals_do_not_depend_on_the_order_of_the_samples():
    chance = random.Random(1)  # noqa: S311 - the same each time
    items = [Sample((GET,), chance.random(), chance.random() * 1e9) for _ in range(1000)]
    forward, backward = Profile(tuple(items), 1), Profile(tuple(reversed(items)), 1)
    assert (
        forward.bytes == backward.bytes == pytest.approx(math.fsum(s.bytes for s in items), abs=0)
    )
    assert forward.objects == backward.objects


def test_records_cannot_be_changed():
    with pytest.raises(AttributeError):
        Sample((GET,), 1, 1).bytes = 2
    with pytest.raises(AttributeError):
        GET.line = 2
