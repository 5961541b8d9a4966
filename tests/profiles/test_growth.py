import random
from datetime import UTC, datetime

import pytest

from endoscope_profiles import Frame, Profile, Sample
from endoscope_profiles.growth import ONLY_ONE, SURE, growth
from made import profile


def taken(minute, *rows, **facts):
    return profile(*rows, taken=f"2026-11-24T00:{minute:02}:00Z", **facts)


def suspects(*profiles, by="stack"):
    return {each.stack[0].function: each for each in growth(profiles, by).suspects}


LEAK = [
    taken(minute, (1000 + 6000 * minute, "leak main"), (5000, "cache main"), (wobble, "busy main"))
    for minute, wobble in enumerate([400, 900, 300, 1000])
]


def test_only_what_grows_is_suspect():
    assert list(suspects(*LEAK)) == ["leak"]


def test_a_suspect_says_how_fast_and_how_sure():
    leak = suspects(*LEAK)["leak"]
    assert leak.bytes == (1000, 7000, 13000, 19000)
    assert leak.growth == 18000
    assert leak.growth_error == pytest.approx((1000 + 19000) ** 0.5)
    assert leak.per_hour == pytest.approx(6000 * 60)
    # The slope's weights are -3, -1, 1 and 3 over 10 minutes.
    assert leak.per_hour_error == pytest.approx(
        60 * (9 * 1000 + 7000 + 13000 + 9 * 19000) ** 0.5 / 10
    )
    assert leak.confidence > 0.9999
    assert (leak.grew_in, leak.grew_always) == (3, True)


def test_the_order_of_the_dumps_does_not_matter():
    assert growth(LEAK[::-1]) == growth(LEAK)


def test_what_grew_for_sure_but_not_always_comes_after_what_grew_always():
    jumpy = [10_000, 30_000, 29_000, 40_000, 39_000, 50_000, 62_000]
    dumps = [taken(m, (100 + m, "always"), (held, "jumpy")) for m, held in enumerate(jumpy)]
    found = suspects(*dumps)
    assert list(found) == ["always", "jumpy"]
    assert found["always"].confidence < 0.8
    assert found["jumpy"].confidence > 0.99
    assert (found["jumpy"].grew_in, found["jumpy"].grew_always) == (4, False)


def test_what_only_wobbles_is_not_surer_for_being_measured_exactly():
    (first, *_, last) = [400, 900, 300, 1000]
    assert suspects(*(taken(m, (n, "busy")) for m, n in enumerate([first, last])))
    assert not suspects(*(taken(m, (n, "busy")) for m, n in enumerate([400, 900, 300, 1000])))


def test_a_stack_that_is_new_is_suspect_and_one_that_went_is_not():
    assert list(suspects(taken(0, (50, "went")), taken(1, (40, "new")))) == ["new"]


def test_growth_by_other_things_than_stacks():
    dumps = [taken(0, (9, "f a")), taken(1, (9, "f a"), (70, "f b")), taken(2, (99, "f c"))]
    assert suspects(*dumps, by="function")["f"].bytes == (9, 79, 99)
    assert not suspects(*dumps)  # no stack alone


def test_dumps_of_other_runs_are_left_out():
    old = taken(0, (1, "leak"), pid="7")
    grown = growth([old, *(taken(m, (m * 1000, "leak"), pid="8") for m in (1, 2))])
    assert len(grown.profiles) == 2
    assert "1 dump is of another process" in grown.notes[0]


@pytest.mark.parametrize("dumps", [LEAK[:1], [taken(0, pid="7"), taken(1, pid="8")]])
def test_one_dump_shows_no_growth(dumps):
    grown = growth(dumps)
    assert (grown.suspects, grown.notes[-1]) == ((), ONLY_ONE)


@pytest.mark.parametrize("when", [{}, {"taken": "yesterday"}])
def test_without_times_nothing_is_said_per_hour(when):
    grown = growth([profile((1, "a"), **when), profile((9, "a"), **when)])
    (suspect,) = grown.suspects
    assert (suspect.growth, suspect.per_hour, grown.times) == (8, None, None)
    assert "per hour" in grown.notes[0]


def test_no_dump_is_an_error():
    with pytest.raises(ValueError, match="no profile"):
        growth([])


def test_noise_is_rarely_taken_for_sure():
    """At a confidence of 99%, at most one in a hundred of what only wobbles, however short."""
    chance = random.Random(1)  # noqa: S311  the same every time
    for dumps in (3, 4, 5, 8):
        rows = [[(chance.gauss(1000, 100), f"f{n}") for n in range(1500)] for _ in range(dumps)]
        exact = [
            Profile(tuple(Sample((Frame(name),), 1, held) for held, name in row), 1, {"taken": t})
            for row, t in zip(rows, (f"2026-11-24T00:0{m}:00Z" for m in range(9)), strict=False)
        ]
        sure = [each for each in growth(exact).suspects if each.confidence >= SURE]
        assert len(sure) < 1500 * 0.02


def test_dumps_of_one_second_keep_their_order_and_the_rest_its_times():
    dumps = [taken(m, (n * 1000, "leak")) for m, n in ((0, 1), (1, 2), (1, 3), (2, 4))]
    grown = growth(dumps)
    assert grown.times is not None
    (suspect,) = grown.suspects
    assert suspect.bytes == (1000, 2000, 3000, 4000)
    assert suspect.per_hour > 0


def test_times_without_a_zone_are_utc():
    grown = growth([profile((n, "a"), taken=f"2026-11-24T00:0{n}:00") for n in (1, 2)])
    assert grown.times == tuple(
        datetime(2026, 11, 24, 0, minute, tzinfo=UTC).timestamp() for minute in (1, 2)
    )
