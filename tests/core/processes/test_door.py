from __future__ import annotations

import os
import signal

import pytest

from endoscope.processes.door import Door
from endoscope.processes.place import Name


@pytest.fixture
def door(place):
    """Make the role as one more process sees it."""
    made = []

    def make() -> Door:
        made.append(Door(place.folder, Name.own()))
        return made[-1]

    yield make
    for one in made:
        one.drop()


def test_nobody_has_it_at_first(door):
    assert (door().holder(), door().is_ours) == (None, False)


def test_one_takes_it_and_no_other_can(door, place):
    one, two = door(), door()
    assert one.take()
    assert one.take()
    assert not two.take()
    assert (one.is_ours, two.is_ours) == (True, False)
    assert one.holder() == two.holder() == one._name


def test_it_is_free_when_it_is_dropped(door):
    one, two = door(), door()
    one.take()
    one.drop()
    one.drop()
    assert two.take()
    assert (one.is_ours, one.holder()) == (False, two._name)


def test_the_kernel_frees_it_when_its_holder_is_killed(door, forked):
    one, theirs = door(), door()
    child = forked(theirs.take)
    assert not one.take()
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert one.take()


def test_a_child_that_drops_it_does_not_take_it_from_its_parent(door, forked):
    one, two = door(), door()
    one.take()
    forked(one.drop)
    assert not two.take()
    assert one.is_ours


def test_it_is_handed_over_without_being_free_in_between(door):
    one, two, three = door(), door(), door()
    one.take()
    descriptor = one.hand_over()
    assert not three.take()
    two.receive(os.dup(descriptor))
    os.close(descriptor)
    assert (one.is_ours, two.is_ours, three.take()) == (False, True, False)
    assert one.holder() == two._name
    with pytest.raises(RuntimeError):
        one.hand_over()


def test_it_is_taken_from_who_is_silent_and_that_one_sees_it(door, place):
    one, two, three = door(), door(), door()
    one.take()
    two.take_from_who_is_silent()
    assert (one.is_ours, two.is_ours, three.take()) == (False, True, False)
    assert three.holder() == two._name
    one.drop()
    assert not one.take()
    assert os.listdir(place.folder) == ["door"]


def test_of_two_who_take_it_from_the_silent_the_last_has_it(door):
    one, two, three = door(), door(), door()
    one.take()
    two.take_from_who_is_silent()
    three.take_from_who_is_silent()
    assert [each.is_ours for each in (one, two, three)] == [False, False, True]


def test_a_file_that_is_deleted_replaces_nothing(door, place):
    one = door()
    one.take()
    (place.folder / "door").unlink()
    assert one.is_ours
    assert one.holder() is None


@pytest.mark.parametrize("text", ["", "nobody", "1-2-3.sock", "\xff", "x" * 100_000])
def test_what_others_have_written_is_no_name(door, place, text):
    (place.folder / "door").write_text(text, encoding="latin-1")
    one = door()
    assert one.holder() is None
    assert one.take()
    assert one.holder() == one._name


def test_a_link_is_not_followed(door, place, tmp_path):
    (tmp_path / "precious").write_text("precious")
    (place.folder / "door").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        door().take()
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_folder_that_is_gone_is_an_error_of_the_system(door, place):
    place.folder.rmdir()
    with pytest.raises(FileNotFoundError):
        door().take()
    assert door().holder() is None


def test_whose_name_is_shorter_leaves_nothing_of_the_longer(door, place):
    long, short = Name(2**60, 2**60, 2**60, "0123abcd"), Name(1, 2, 3, "0123abcd")
    for name in (long, short, long):
        one = Door(place.folder, name)
        assert one.take()
        assert one.holder() == name
        one.drop()


def test_descriptors_are_not_inherited_nor_left(door, open_descriptors):
    before = open_descriptors()
    one, two = door(), door()
    one.take()
    assert not os.get_inheritable(one._lock)
    two.take()
    two.take_from_who_is_silent()
    one.take()
    two.drop()
    one.drop()
    assert open_descriptors() == before
