from endoscope_profiles import Profile
from endoscope_profiles.addition import add
from made import profile


def test_stacks_add_up():
    whole = add([profile((3, "a"), (1, "b")), profile((4, "a")), profile((2, "c"))])
    assert {s.stack[0].function: s.bytes for s in whole.samples} == {"a": 7, "c": 2, "b": 1}


def test_facts_are_those_of_all_and_sizes_add_up():
    one = profile(service="shop", pid="7", resident_bytes="10", allocated_bytes="5")
    other = profile(service="shop", pid="8", resident_bytes="20")
    assert add([one, other]).facts == {"service": "shop", "resident_bytes": "30"}


def test_the_coarsest_interval_is_that_of_the_whole():
    assert add([Profile((), 1024), Profile((), 4096)]).interval_bytes == 4096


def test_build_ids_of_all():
    one, other = Profile((), 1, build_ids={"x": "1"}), Profile((), 1, build_ids={"y": "2"})
    assert add([one, other]).build_ids == {"x": "1", "y": "2"}
