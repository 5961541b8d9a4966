from __future__ import annotations

import itertools
import math
import mmap
import re
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dumps import DEFLATE, DUMP, GET, HEAP, MAIN, heap, only, read, row, seeded, symbols
from endoscope_profiles import Frame, Profile, ProfileError
from endoscope_profiles.jemalloc_heap import NO_STACK, parse, write


def test_a_dump_is_read():
    profile = parse(DUMP)
    assert [sample.stack for sample in profile.samples] == [(GET, MAIN), (DEFLATE, MAIN)]
    assert profile.interval_bytes == 524288
    assert profile.facts == {"service": "router", "python": "3.11.7"}
    assert profile.binary == "/usr/bin/python3.11"


def test_without_symbols_frames_are_named_by_their_address():
    profile = parse(HEAP)
    assert [[frame.function for frame in sample.stack] for sample in profile.samples] == [
        ["0x6a00000000000010", "0x6a00000000000020"],
        ["0x7f0012345678", "0x6a00000000000020"],
    ]
    assert (profile.facts, profile.binary) == ({}, "")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_will_do(kind):
    assert parse(kind(DUMP)) == parse(DUMP)


def test_a_map_of_a_file_will_do_and_can_be_closed(tmp_path):
    path = tmp_path / "x.prof"
    path.write_bytes(DUMP)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as dump:
        profile = parse(dump)
    assert profile == parse(DUMP)


def test_equal_stacks_are_one_sample():
    profile = parse(heap(([1], row(1, 10)), ([2], row(1, 15)), ([1], row(2, 20))))
    assert [(s.stack[0].function, s.objects, s.bytes) for s in profile.samples] == [
        ("0x1", 3, 30),
        ("0x2", 1, 15),
    ]


def test_stacks_are_equal_if_their_names_are():
    named = symbols(b"0x10 f (a.py:1)", b"0x20 f (a.py:1)")
    assert only(named + heap(([0x10], row(1, 10)), ([0x20], row(1, 10)))).bytes == 20


def test_stacks_that_hold_nothing_any_more_are_left_out():
    assert parse(heap(([1], row(0, 0)))).samples == ()


def test_a_stack_without_frames_has_a_marker():
    assert only(heap(([], row(1, 10)))).stack == (NO_STACK,)


# --- damaged dumps ---


@pytest.mark.parametrize(
    ("dump", "at", "expected"),
    [
        (b"\x89PNG\r\n", b"\x89", "heap_v2/"),
        (DUMP.replace(b"heap_v2", b"heap_v1"), b"heap_v1", "heap_v2/"),
        (DUMP.replace(b"/524288", b"/many"), b"heap_v2/many", "interval"),
        (DUMP.replace(b"/524288", b"/" + b"9" * 5000), b"heap_v2/999", "interval"),
        (DUMP.replace(b"0x7f0012345678 def", b"7f0012345678 def"), b"7f0012345678 d", "0xADDRESS"),
        (DUMP.replace(b"---\n--- heap\n", b""), b"heap_v2/", "'---'"),
        (DUMP.replace(b"t*: 1: 48", b"t*: -1: 48"), b"  t*: -1", "'t*: objects"),
        (DUMP.replace(b"t*: 1: 48", b"t*: 1: " + b"9" * 21), b"  t*: 1: 999", "'t*: objects"),
        (DUMP.replace(b"t*: 1: 48", b"t*: 1: 0"), b"@ 0x7f", "more bytes"),
        (DUMP.replace(b"@ 0x7f0012345678", b"@ 0xg"), b"@ 0xg", "'@'"),
        (DUMP.replace(b"@ 0x7f0012345678", b"@ 7f00"), b"@ 7f00", "addresses"),
        (DUMP.replace(b"@ 0x7f0012345678", b"@ 0x" + b"1" * 17), b"@ 0x11111", "addresses"),
        (DUMP.replace(b"@ 0x7f0012345678", b"@ 0x 0x1"), b"@ 0x 0x1", "addresses"),
        (DUMP.replace(b"  t0: 2: 1000", b"  t0 2 1000"), b"  t0 2", "MAPPED_LIBRARIES"),
        (DUMP.replace(b"\nMAPPED_LIB", b"\nmapped_lib"), b"mapped_lib", "MAPPED_LIBRARIES"),
        (symbols(b"# coarsest_interval_bytes: 1k") + HEAP, b"# coarse", "coarsest_interval_bytes"),
        (symbols(b"# build_id: 0ff /lib/libz.so.1") + HEAP, b"# build_id", "hexadecimal"),
    ],
)
def test_a_damaged_dump_says_where_and_what(dump, at, expected):
    error = read(dump)
    assert isinstance(error, ProfileError)
    assert (error.offset, error.cut_off) == (dump.index(at), False)
    assert error.line == dump.count(b"\n", 0, error.offset) + 1
    assert expected in error.expected
    assert str(error) == f"expected {error.expected} at line {error.line} (byte {error.offset})"


def test_what_is_damaged_and_cut_off_is_damaged_where_it_is_read_first():
    error = read(DUMP.replace(b"t*: 2: 1000", b"t*: 2; 1000")[:-150])
    assert (error.cut_off, error.line) == (False, DUMP.count(b"\n", 0, DUMP.index(b"t*: 2:")) + 1)


def test_a_dump_that_was_cut_off_anywhere_says_so():
    for length in range(DUMP.index(b"MAPPED_LIBRARIES:") + len("MAPPED_LIBRARIES:")):
        error = read(DUMP[:length])
        assert error.cut_off
        assert error.offset <= length
        assert str(error).endswith("where the profile is cut off")


@given(st.binary())
def test_any_bytes_are_a_profile_or_an_error(data):
    assert isinstance(read(data), ProfileError)
    assert isinstance(read(b"--- symbol\n" + data), ProfileError)
    assert isinstance(read(b"heap_v2/9\n" + data), ProfileError | Profile)


pieces = st.one_of(
    st.sampled_from(
        [b"\n", b" ", b"@", b"0x", b"t*:", b"t1:", b"%", b"---", b"[0: 0]", b"# ", b"("]
    ),
    st.integers(0, 10**25).map(lambda number: b"%d" % number),
    st.binary(max_size=3),
)


@given(st.integers(0, len(DUMP)), st.integers(0, 20), st.lists(pieces, max_size=4).map(b"".join))
@example(DUMP.index(b"1048"), 4, b"9" * 20)
@example(DUMP.index(b": 48") + 2, 2, b"1")
@example(DUMP.index(b"48 ["), 2, b"9" * 20)
def test_a_dump_changed_in_the_middle_is_a_profile_or_an_error(at, removed, inserted):
    result = read(DUMP[:at] + inserted + DUMP[at + removed :])
    if isinstance(result, Profile):
        assert all(map(math.isfinite, (result.bytes, result.bytes_error, result.objects_error)))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "dump",
    [
        symbols(b"0x10 " + b" (" * 500_000) + heap(([0x10], row(1, 1))),
        symbols(b"0x10 f (" + b":1" * 500_000) + heap(([0x10], row(1, 1))),
        symbols(b"0x10 f (" + b")" * 500_000 + b"x") + heap(([0x10], row(1, 1))),
        symbols(b"0x10 " + b"%" * 500_000) + heap(([0x10], row(1, 1))),
        b"--- symbol\n" + b"# a: b\n" * 200_000,
        b"heap_v2/1\n" + b" " * 1_000_000 + b"t",
        b"heap_v2/1\n@" + b" 0x1" * 300_000,
        b"heap_v2/1\n@" + b" 0x1" * 300_000 + b"\n",
        b"heap_v2/1\n@ " + b"x" * 1_000_000 + b"\n",
        b"heap_v2/1\n@ 0x1\n" + b"  t1: 1: 1 [0: 0]\n" * 100_000,
        b"heap_v2/1\n" + b"\n" * 1_000_000,
        b"heap_v2/1\n@ 0x1\n  t*: 1: 1 [0: 0] " + b"\n MAPPED_LIBRARIES:" * 100_000,
    ],
    ids=range(12),
)
def test_a_hostile_dump_takes_linear_time(dump):
    read(dump)


def test_reading_takes_less_memory_than_five_times_the_dump():
    chance = seeded(3)
    frames = [Frame(f"C{i}.m", f"/srv/app/{i % 40}.py", i) for i in range(1000)]
    records = [(chance.choices(frames, k=36), 3, chance.randrange(3, 9999)) for _ in range(2000)]
    dump = b"".join(write(records, interval_bytes=4096))
    tracemalloc.start()
    try:
        profile = parse(dump)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(profile.samples) == 2000
    assert peak < 5 * len(dump)


# --- against jeprof ---


def shown(position, frame):
    """Return a frame as jeprof shows it. Callers without a name are one below the address."""
    if re.fullmatch("0x[0-9a-f]+", frame.function):
        return f"0x{int(frame.function, 16) - (position > 0):016x}"
    place = f"{frame.file}:{frame.line}" if frame.line else frame.file
    return f"{frame.function} ({place})" if place else frame.function


def same_as_jeprof(dump, jeprof):
    """Compare the total and every stack, to the byte and to the object."""
    profile = parse(dump)
    for what, number in (("--inuse_space", "bytes"), ("--inuse_objects", "objects")):
        told = jeprof(dump, what)
        assert told.total == int(getattr(profile, number))
        assert told.stacks == {
            tuple(itertools.starmap(shown, enumerate(sample.stack)))[::-1]: int(
                getattr(sample, number)
            )
            for sample in profile.samples
        }
    return profile


def drawn(chance, interval):
    """Draw records: a few stacks, each with blocks of several sizes."""
    frames = [Frame(f"C{i}.method", f"/srv/app/{i % 7}.py", i) for i in range(1, 40)]
    for _ in range(60):
        stack = chance.choices(frames, k=chance.randrange(1, 30))
        for _ in range(chance.randrange(1, 6)):
            objects = chance.randrange(1, 200)
            yield stack, objects, objects * chance.randrange(40, 2 * max(interval, 100))


@pytest.mark.parametrize("interval", [0, 1, 2, 512, 4096, 524288, 2**30])
def test_what_is_written_is_the_same_for_jeprof(interval, jeprof):
    records = list(drawn(seeded(interval), interval))
    profile = same_as_jeprof(b"".join(write(records, interval_bytes=interval)), jeprof)
    assert len(profile.samples) > 50


def test_threads_and_native_frames_are_the_same_for_jeprof(jeprof):
    assert len(same_as_jeprof(DUMP, jeprof).samples) == 2


def test_jeprof_reads_every_name_whole(jeprof):
    names = ["a-b", "a--b", "50%", "line\nbreak", "carriage\rreturn", "tab\tstop", "жаба"]
    records = [([Frame(name, "--.py", 1), MAIN], 1, 100) for name in names]
    build_ids = {"/lib/a--b.so": "00ff"}
    facts = {"a--b": "c=d\n---"}
    told = jeprof(b"".join(write(records, facts=facts, binary="/py", build_ids=build_ids)))
    encoded = ["a-b", "a-%2db", "50%25", "line%0abreak", "carriage%0dreturn", "tab%09stop", "жаба"]
    assert set(told.stacks) == {(shown(1, MAIN), f"{name} (-%2d.py:1)") for name in encoded}


def test_jemalloc_s_own_dump_is_the_same_for_jeprof(jemalloc_dump, jeprof):
    """Sampled every 4 KiB; jemalloc rounds the sizes of blocks up."""
    profile = same_as_jeprof(symbols(b"binary=python") + jemalloc_dump, jeprof)
    assert profile.samples == parse(jemalloc_dump).samples
    assert profile.interval_bytes == 4096
    kept = sum(1000 + i % 2000 for i in range(20_000))
    assert kept < profile.bytes < 1.5 * kept
    assert 0 < profile.bytes_error < 0.02 * profile.bytes
