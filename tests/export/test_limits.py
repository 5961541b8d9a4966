from __future__ import annotations

import contextlib
import time

import pytest

from endoscope_export.content import ContentError
from endoscope_export.contributor import Contributor
from endoscope_export.limits import Allowance, Limits

MEMORY = Contributor("memory")
PLENTY = Limits(contributor_seconds=30, export_seconds=600)


def test_a_plugin_may_go_on_for_what_it_has_not_spent():
    allowance = Allowance(PLENTY, {MEMORY: 10.0}, time.monotonic())
    allowance.spend(MEMORY, 5.0)
    assert allowance.seconds(MEMORY) == 15.0
    assert allowance.seconds(Contributor("another")) == 30.0
    assert allowance.seconds(Contributor("memory", 8)) == 30.0


def test_a_plugin_without_time_is_refused_and_the_others_are_not():
    allowance = Allowance(PLENTY, {MEMORY: 30.0}, time.monotonic())
    with pytest.raises(ContentError, match="contributor_seconds") as caught:
        allowance.seconds(MEMORY)
    assert caught.value.code == "timed_out"
    allowance.require_time()


def test_a_plugin_has_spent_what_it_has_in_all_processes():
    spent = {MEMORY: 1.0, Contributor("memory", 8): 2.0, Contributor("another", 8): 4.0}
    assert Allowance(PLENTY, spent, time.monotonic()).spent_by("memory") == 3.0


def test_what_the_body_takes_is_charged_even_if_it_fails():
    allowance = Allowance(PLENTY, {}, time.monotonic())
    with contextlib.suppress(ValueError), allowance.spending(MEMORY):
        time.sleep(0.01)
        raise ValueError
    assert allowance.spent[MEMORY] >= 0.01


def test_nobody_may_go_on_past_the_end_of_the_archive():
    began = time.monotonic() - 10
    allowance = Allowance(Limits(contributor_seconds=30, export_seconds=10), {}, began)
    for ask in (allowance.require_time, lambda: allowance.seconds(MEMORY)):
        with pytest.raises(ContentError, match="10 s for all of it") as caught:
            ask()
        assert caught.value.code == "out_of_time"


def test_the_archive_s_end_bounds_what_a_plugin_has():
    allowance = Allowance(
        Limits(contributor_seconds=1000, export_seconds=600), {}, time.monotonic()
    )
    assert allowance.seconds(MEMORY) <= 600


@pytest.mark.parametrize(
    ("file", "archive", "filled", "room"),
    [
        (None, None, 10**15, None),
        (100, None, 10**15, 100),
        (None, 1000, 300, 700),
        (100, 1000, 300, 100),
        (500, 1000, 800, 200),
    ],
)
def test_room_is_what_is_left_by_both_limits(file, archive, filled, room):
    allowance = Allowance(Limits(30, 600, file, archive), {}, time.monotonic())
    allowance.fill(filled)
    assert allowance.room() == room


def test_an_archive_that_is_full_takes_nothing_more():
    allowance = Allowance(Limits(30, 600, None, 1000), {}, time.monotonic())
    allowance.fill(1000)
    with pytest.raises(ContentError, match="1000 bytes") as caught:
        allowance.room()
    assert caught.value.code == "archive_full"


@pytest.mark.parametrize(("passed", "seconds"), [(0, 30), (590, 10), (700, 1)])
def test_there_is_always_time_for_a_last_word(passed, seconds):
    allowance = Allowance(PLENTY, {}, time.monotonic() - passed)
    assert allowance.last_seconds() == pytest.approx(seconds, abs=5 if passed == 590 else 0)
