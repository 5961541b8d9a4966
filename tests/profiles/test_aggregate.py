import pytest
from hypothesis import given

from endoscope_profiles import Frame, Profile, Sample, merge
from endoscope_profiles.addition import add
from endoscope_profiles.aggregate import BY, NO_PROCESS, NO_THREAD, PLACES, aggregate
from made import PROFILES, profile


def rows(whole, by="function"):
    return {row.place.function: (row.own.bytes, row.total.bytes) for row in aggregate(whole, by)}


def test_own_is_what_a_function_allocated_and_total_what_it_caused():
    whole = profile((3, "alloc get main"), (2, "alloc put main"), (1, "get main"))
    assert rows(whole) == {"alloc": (5, 5), "get": (1, 4), "main": (0, 6), "put": (0, 2)}
    assert list(rows(whole)) == ["alloc", "get", "main", "put"]


def test_a_recursive_function_is_counted_once():
    assert rows(profile((3, "a a b a"))) == {"a": (3, 3), "b": (0, 3)}


def test_errors_come_along():
    (row, *_) = aggregate(profile((9, "a b"), (16, "a c")))
    assert (row.own.bytes_error, row.total.objects_error) == (5, 5)


LINES = Profile(
    merge(
        [
            Sample((Frame("f", "/srv/x.py", 1), Frame("g", "/srv/y.py", 5)), 1.0, 10.0),
            Sample((Frame("f", "/srv/x.py", 2), Frame("g", "/srv/y.py", 5)), 1.0, 20.0),
            Sample((Frame("[no Python]"), Frame("[thread 1 main]")), 1.0, 5.0),
        ]
    ),
    1,
)


def places(by):
    return {row.place: row.own.bytes for row in aggregate(LINES, by)}


def test_what_is_told_apart():
    marker = {Frame("[no Python]"): 5.0, Frame("[thread 1 main]"): 0.0}
    assert places("function") == {
        Frame("f", "/srv/x.py"): 30.0,
        Frame("g", "/srv/y.py"): 0.0,
        **marker,
    }
    assert places("line") == {
        Frame("f", "/srv/x.py", 1): 10.0,
        Frame("f", "/srv/x.py", 2): 20.0,
        Frame("g", "/srv/y.py", 5): 0.0,
        **marker,
    }
    assert places("file") == {Frame("", "/srv/x.py"): 30.0, Frame("", "/srv/y.py"): 0.0, **marker}
    assert places("package") == {Frame("/srv"): 30.0, **marker}
    assert places("thread") == {NO_THREAD: 30.0, Frame("thread 1 main"): 5.0}


@pytest.mark.parametrize("by", BY)
@given(PROFILES)
def test_own_amounts_add_up_to_the_whole(by, whole):
    table = aggregate(whole, by)
    assert sum(row.own.bytes for row in table) == pytest.approx(whole.bytes)
    assert sum(row.own.objects for row in table) == pytest.approx(whole.objects)
    for row in table:
        assert row.total.bytes >= row.own.bytes * (1 - 1e-9)
        assert row.total.bytes <= whole.bytes * (1 + 1e-9)


def test_what_cannot_be_told_apart_is_an_error():
    with pytest.raises(ValueError, match="by='lines' is none of function, line"):
        aggregate(LINES, "lines")


def test_by_has_all_places_and_threads():
    assert (*PLACES, "thread") == BY


def test_processes_are_told_apart_where_they_were_added_up_by_process():
    parts = [profile((3, "a main"), (1, "b"), pid="7"), profile((2, "a main"), pid="8")]
    assert rows(add(parts, by_process=True), "process") == {
        "process 7": (4, 4),
        "process 8": (2, 2),
    }
    assert rows(add(parts), "process") == {NO_PROCESS.function: (6, 6)}
