import pytest

from endoscope_profiles import Profile
from endoscope_profiles.addition import add
from made import profile


def test_stacks_add_up():
    whole = add([profile((3, "a"), (1, "b")), profile((4, "a")), profile((2, "c"))])
    assert {s.stack[0].function: s.bytes for s in whole.samples} == {"a": 7, "c": 2, "b": 1}


def test_facts_are_those_of_all_and_sizes_add_up():
    one = profile(service="shop", pid="7", resident_bytes="10", allocated_bytes="5")
    other = profile(service="shop", pid="8", resident_bytes="20")
    expected = {"service": "shop", "pids": "7 8", "resident_bytes": "30"}
    assert add([one, other]).facts == expected


def test_times_go_from_the_first_to_the_last():
    days = [
        ("2026-11-24", "2026-11-20"),
        ("2026-11-23", "2026-11-22"),
        ("2026-11-25", "2026-11-21"),
    ]
    profiles = [profile(taken=taken, profiling_since=since) for taken, since in days]
    assert add(profiles).facts == {
        "first_taken": "2026-11-23",
        "taken": "2026-11-25",
        "profiling_since": "2026-11-20",
        "last_profiling_since": "2026-11-22",
    }
    assert add([*profiles, profile()]).facts == {}


def test_one_profile_keeps_its_facts():
    assert add([profile(pid="7", taken="x")]).facts == {"pid": "7", "taken": "x"}


def test_they_are_taken_one_by_one():
    held = []

    def read():
        for _ in range(5):
            one = profile((1, "a"))
            held.append(one.bytes)
            yield one

    assert add(read()).bytes == 5 == len(held)
    with pytest.raises(ValueError, match="no profile"):
        add([])


def test_each_process_stands_outermost_where_they_are_told_apart():
    parts = [profile((3, "a main"), pid="7"), profile((4, "a main"), pid="8"), profile((1, "b"))]
    stacks = {
        tuple(frame.function for frame in sample.stack): sample.bytes
        for sample in add(parts, by_process=True).samples
    }
    assert stacks == {
        ("a", "main", "[process 7]"): 3,
        ("a", "main", "[process 8]"): 4,
        ("b", "[process not recorded]"): 1,
    }


def test_the_coarsest_interval_is_that_of_the_whole():
    assert add([Profile((), 1024), Profile((), 4096)]).interval_bytes == 4096


def test_build_ids_of_all():
    one, other = Profile((), 1, build_ids={"x": "1"}), Profile((), 1, build_ids={"y": "2"})
    assert add([one, other]).build_ids == {"x": "1", "y": "2"}
