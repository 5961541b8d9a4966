import random

import pytest

from endoscope_profiles import Frame, Profile, Sample
from endoscope_profiles.outliers import BY, ONLY_ONE, ONLY_TWO, outliers
from made import profile


def exact(pid, *rows, **facts):
    """Return a profile without errors, of rows (bytes, functions innermost first)."""
    samples = tuple(
        Sample(
            tuple(Frame(name, "/srv/app.py", line) for line, name in enumerate(stack.split(), 1)),
            1,
            n,
        )
        for n, stack in rows
    )
    return Profile(samples, 1, {"pid": str(pid), **facts})


def found(amounts, **facts):
    """Return the amounts that stand out, of processes that hold these."""
    dumps = [(f"{pid}.prof", exact(pid, (n, "f"), **facts)) for pid, n in enumerate(amounts)]
    return [each.live.bytes for each in outliers(dumps).outliers]


@pytest.mark.parametrize(
    ("amounts", "odd"),
    [
        ([100], []),
        ([100, 300], [300]),
        ([100, 130], []),
        ([100, 105, 300], [300]),
        ([100, 100, 100], []),
        ([100, 120, 140], []),
        ([100, 300, 320], []),  # the odd one is the one that holds less
        ([100, 200, 600], [600]),
        ([90, 100, 110, 200], [200]),
        ([100, 100, 300, 300], [300, 300]),  # as many hold much as little
        ([100, 100, 300, 300, 300], []),  # most hold much
        ([100, 110, 120, 400, 900], [900, 400]),
        ([0, 0, 0, 50], [50]),
        ([0, 0, 0, 0], []),
    ],
)
def test_who_stands_out(amounts, odd):
    assert found(amounts) == odd


def test_two_hundred_that_are_alike_by_a_tenth_are_silent_and_one_that_is_not_is_found():
    chance = random.Random(7)  # noqa: S311  no secret
    alike = [chance.gauss(1e8, 1e7) for _ in range(199)]
    assert found(alike) == []
    assert found([*alike, 2e8]) == [2e8]


def test_what_sampling_may_have_done_is_no_outlier():
    def few_samples(pid, number):
        size = 524288.0
        return profile_of(pid, number * size, number * size**2)

    def profile_of(pid, size, variance):
        return Profile((Sample((Frame("f"),), 1, size, 0, variance),), 524288, {"pid": str(pid)})

    of = [("a", few_samples(1, 2)), ("b", few_samples(2, 2)), ("c", few_samples(3, 6))]
    assert outliers(of).outliers == ()
    of = [("a", few_samples(1, 200)), ("b", few_samples(2, 200)), ("c", few_samples(3, 600))]
    assert [each.dump for each in outliers(of).outliers] == ["c"]


def test_resident_memory_that_no_profiler_sees_stands_out_as_well():
    dumps = [(str(n), exact(n, (100, "f"), resident_bytes=str(n))) for n in (10, 11, 12, 90)]
    (odd,) = outliers(dumps).outliers
    assert (odd.dump, odd.live.stands_out, odd.resident.stands_out) == ("90", False, True)
    assert odd.resident.times == pytest.approx(90 / 11)
    assert odd.excesses == ()
    unknown = [*dumps, ("x", exact(1, (100, "f")))]
    assert all(each.resident is None for each in outliers(unknown).siblings)


def test_the_most_bytes_come_first_with_the_median_of_the_others():
    dumps = [(str(n), exact(n, (n, "f"))) for n in (10, 40, 20, 30)]
    first, *_, last = outliers(dumps).siblings
    assert (first.live.bytes, first.live.median, first.live.times) == (40, 20, 2)
    assert (last.live.bytes, last.live.median) == (10, 30)


ROWS = {
    "function": [(("leak", 0), 900), (("load", 0), 30)],
    "line": [(("leak", 1), 900), (("load", 1), 30)],
    "stack": [(("leak", 1), 900), (("load", 1), 30)],
    "file": [(("", 0), 930)],
    "package": [(("/srv", 0), 930)],
}


@pytest.mark.parametrize("by", BY)
def test_what_an_outlier_holds_more_than_the_median_of_its_siblings(by):
    dumps = [(f"{pid}.prof", exact(pid, (50 + pid, "load main"), (7, "cache"))) for pid in range(3)]
    dumps.append(("odd.prof", exact(9, (900, "leak main"), (81, "load main"), (7, "cache"))))
    (odd,) = outliers(dumps, by).outliers
    shown = [((one.stack[0].function, one.stack[0].line), one.excess) for one in odd.excesses]
    assert shown == ROWS[by]
    if by == "stack":
        assert [frame.function for frame in odd.excesses[0].stack] == ["leak", "main"]
        assert (odd.excesses[1].bytes, odd.excesses[1].median) == (81, 51)


def test_a_function_that_is_in_few_siblings_has_a_median_of_nothing():
    dumps = [(str(n), exact(n, (100, "f"), *[(40, "g")] * (n == 0))) for n in range(4)]
    dumps.append(("odd", exact(9, (100, "f"), (900, "g"))))
    (odd,) = outliers(dumps).outliers
    assert [(one.stack[0].function, one.median, one.excess) for one in odd.excesses] == [
        ("g", 0, 900)
    ]


def test_an_excess_that_sampling_explains_is_not_told():
    rows = [((1000, "f"), (400, "g")), ((1000, "f"), (410, "g")), ((9000, "f"), (420, "g"))]
    dumps = [(str(n), profile(*each, pid=str(n))) for n, each in enumerate(rows)]
    (odd,) = outliers(dumps).outliers
    assert [one.stack[0].function for one in odd.excesses] == ["f"]


def test_what_makes_it_less_telling_is_noted():
    one = ("a", exact(1, (1, "f"), profiling_since="2026-11-24T00:00:00Z"))
    other = ("b", exact(2, (1, "f"), profiling_since="2026-11-24T01:00:00Z"))
    same = ("c", exact(3, (1, "f"), profiling_since="2026-11-24T00:00:59Z"))
    assert outliers([one]).notes == (ONLY_ONE,)
    assert outliers([one, same]).notes == (ONLY_TWO,)
    assert "same time" in outliers([one, other]).notes[1]
    with pytest.raises(ValueError, match="no dump"):
        outliers([])


def test_the_whole_is_all_of_them():
    whole = outliers([("a", exact(1, (3, "f"), (4, "g"))), ("b", exact(2, (5, "f")))]).whole
    assert (whole.bytes, whole.objects, whole.facts["pids"]) == (12, 3, "1 2")
