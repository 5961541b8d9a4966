from __future__ import annotations

import itertools
import mmap
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dumps import DUMP, HEAP, read
from endoscope_profiles import Profile, ProfileError
from endoscope_profiles.jemalloc_heap import parse


def cut(dump, ends):
    return [dump[start:end] for start, end in itertools.pairwise([0, *sorted(ends), len(dump)])]


ends = st.lists(st.integers(0, len(DUMP)), max_size=30)


@settings(deadline=None)  # a busy machine is no mistake
@given(ends, st.integers(0, len(DUMP)))
def test_it_does_not_matter_where_a_dump_is_cut_into_pieces(ends, length):
    """Not to the profile, nor to what an error says."""
    for dump, told in ((DUMP, read(DUMP)), (DUMP[:length], read(DUMP[:length]))):
        again = read(iter(cut(dump, [end for end in ends if end <= len(dump)])))
        assert again == told if isinstance(told, Profile) else str(again) == str(told)


def test_a_file_that_is_open_will_do(tmp_path):
    path = tmp_path / "x.prof"
    path.write_bytes(DUMP)
    with path.open("rb") as file:
        assert parse(file) == parse(DUMP)


def test_what_holds_no_bytes_is_a_mistake_of_the_caller_s():
    with pytest.raises(TypeError):
        parse([DUMP.decode()])


def test_a_map_can_be_closed_after_an_error(tmp_path):
    path = tmp_path / "x.prof"
    path.write_bytes(DUMP[:-200])
    with (
        pytest.raises(ProfileError),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as dump,
    ):
        parse(dump)


def test_memory_is_that_of_the_different_stacks():
    record = b"@ 0x6a00000000000010 0x6a00000000000020\n  t*: 2: 1000 [0: 0]\n"
    count, pieces = 40, itertools.repeat(record * 500)
    begin, end = HEAP.split(b"@", 1)[0], b"MAPPED_LIBRARIES:\n"
    tracemalloc.start()
    try:
        profile = parse(itertools.chain([begin], itertools.islice(pieces, count), [end]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(profile.samples) == 1
    assert peak < count * len(record) * 500 / 10
