from __future__ import annotations

import itertools
import math
import mmap
import pickle
import random
import re
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from endoscope_profiles import Frame, Profile, ProfileError, Sample, merge
from endoscope_profiles.jemalloc_heap import CHUNK_BYTES, NO_STACK, parse, write

SYMBOLS = b"""--- symbol
binary=/usr/bin/python3.11
# service: router
# python: 3.11.7
0x6a0000000000000f Handler.get (/srv/app/service.py:41)
0x6a00000000000010 Handler.get (/srv/app/service.py:41)
0x6a0000000000001f main (/srv/app/service.py:7)
0x6a00000000000020 main (/srv/app/service.py:7)
0x7f0012345678 deflateInit2_ (/lib/x86_64-linux-gnu/libz.so.1)
---
--- heap
"""
HEAP = b"""heap_v2/524288
  t*: 3: 1048 [0: 0]
  t0: 3: 1048 [0: 0] router worker
@ 0x6a00000000000010 0x6a00000000000020
  t*: 2: 1000 [0: 0]
  t0: 2: 1000 [0: 0]
@ 0x7f0012345678 0x6a00000000000020
  t*: 1: 48 [0: 0]

MAPPED_LIBRARIES:
7f0012300000-7f0012400000 r-xp 00000000 08:01 123  /lib/x86_64-linux-gnu/libz.so.1
"""
DUMP = SYMBOLS + HEAP
GET = Frame("Handler.get", "/srv/app/service.py", 41)
MAIN = Frame("main", "/srv/app/service.py", 7)
DEFLATE = Frame("deflateInit2_", "/lib/x86_64-linux-gnu/libz.so.1")


def heap(*records, interval=1):
    """Return a dump without names. A record is its addresses and its rows."""
    lines = [b"heap_v2/%d" % interval, b"  t*: 1: 1 [0: 0]"]
    for addresses, *rows in records:
        lines += [b"@" + b"".join(b" %#x" % address for address in addresses), *rows]
    return b"\n".join([*lines, b"", b"MAPPED_LIBRARIES:", b""])


def symbols(*lines):
    return b"\n".join([b"--- symbol", *lines, b"---", b"--- heap", b""])


def seeded(seed):
    return random.Random(seed)  # noqa: S311 - the same each time


def only(dump):
    (sample,) = parse(dump).samples
    return sample


def row(objects, size, thread=b"*"):
    return b"  t%b: %d: %d [0: 0]" % (thread, objects, size)


# --- what a dump says -------------------------------------------------------------------------


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


# --- rows -------------------------------------------------------------------------------------


def test_the_row_of_all_threads_counts_alone():
    rows = [row(3, 30), row(1, 10, b"0"), row(2, 20, b"17")]
    assert (only(heap(([1], *rows))).objects, only(heap(([1], *rows[::-1]))).bytes) == (3, 30)


def test_without_it_the_threads_are_summed_and_then_unsampled():
    threads = heap(([1], row(1, 10, b"0"), row(2, 26, b"17")), interval=4096)
    assert parse(threads) == parse(heap(([1], row(3, 36)), interval=4096))


# --- unsampling -------------------------------------------------------------------------------


def test_a_record_stands_for_more_than_what_was_sampled():
    """72 objects and 5,184 bytes stood for 500,004 objects and 37.5 MB, says the design."""
    sample = only(heap(([1], row(72, 5184)), interval=500_000))
    assert sample.objects == pytest.approx(500_036, abs=1)
    assert sample.bytes == pytest.approx(500_036 * 72, abs=72)


def test_every_record_is_unsampled_before_any_are_summed():
    small, large = ([1], row(5, 320)), ([1], row(1, 70_000))
    both = only(heap(small, large, interval=524288))
    apart = [only(heap(record, interval=524288)) for record in (small, large)]
    assert both == apart[0].plus(apart[1])
    together = only(heap(([1], row(6, 70_320)), interval=524288))
    assert both.objects > 100 * together.objects


@pytest.mark.parametrize("interval", [0, 1])
def test_exact_dumps_are_taken_as_they_are(interval):
    assert only(heap(([1], row(7, 9)), interval=interval)) == Sample((Frame("0x1"),), 7, 9, 0, 0)


def test_bytes_without_objects_are_taken_as_they_are():
    assert only(heap(([1], row(0, 9)), interval=4096)) == Sample((Frame("0x1"),), 0, 9, 0, 0)


def sampled(chance, blocks, size, interval):
    """Sample blocks as the profilers do; return how many were taken."""
    probability = 1 - math.exp(-size / interval)
    return sum(chance.random() < probability for _ in range(blocks))


@pytest.mark.parametrize("size", [500, 4096, 20_000])
def test_standard_errors_are_what_estimates_are_off_by(size):
    """Mean squared over many dumps; 1,000 of them tell it to about 5%."""
    chance, blocks, objects_off, bytes_off, told = seeded(7), 400, 0.0, 0.0, []
    for _ in range(1000):
        taken = sampled(chance, blocks, size, 4096)
        sample = only(heap(([1], row(taken, taken * size)), interval=4096))
        objects_off += (sample.objects - blocks) ** 2 / 1000
        bytes_off += (sample.bytes - blocks * size) ** 2 / 1000
        told.append(sample)
    assert sum(s.objects_variance for s in told) / 1000 == pytest.approx(objects_off, rel=0.15)
    assert sum(s.bytes_variance for s in told) / 1000 == pytest.approx(bytes_off, rel=0.15)


def test_what_was_sampled_more_coarsely_is_less_sure():
    """Sampled at 64 KiB, then counted as often as 4 KiB would have sampled it."""
    chance, blocks, size, off, told = seeded(8), 4000, 1000, 0.0, 0.0
    scale = math.expm1(-size / 4096) / math.expm1(-size / 65536)
    fact = symbols(b"# coarsest_interval_bytes: 65536")
    for _ in range(300):
        counted = round(sampled(chance, blocks, size, 65536) * scale)
        sample = only(fact + heap(([1], row(counted, counted * size)), interval=4096))
        off += (sample.objects - blocks) ** 2 / 300
        told += sample.objects_variance / 300
    assert told == pytest.approx(off, rel=0.2)


def test_a_coarsest_interval_below_the_dump_s_own_changes_nothing():
    dump = heap(([1], row(7, 900)), interval=4096)
    assert parse(symbols(b"# coarsest_interval_bytes: 512") + dump).samples == parse(dump).samples


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        (b"main (/srv/a.py:7)", Frame("main", "/srv/a.py", 7)),
        (b"f.<locals>.<lambda> (<string>:1)", Frame("f.<locals>.<lambda>", "<string>", 1)),
        (b"deflate (/lib/libz.so.1)", Frame("deflate", "/lib/libz.so.1")),
        (b"[no Python]", Frame("[no Python]")),
        (b"operator new(unsigned long)", Frame("operator new(unsigned long)")),
        (b"f (a (b).py:3)", Frame("f", "a (b).py", 3)),
        (b"f (unclosed", Frame("f (unclosed")),
        (b"f (a:)", Frame("f", "a:")),
        (b"f (12)", Frame("f", "12")),
        (b"f (a%3a12)", Frame("f", "a:12")),
        (b"f%28x%29%0Aa-%2D%2db%25 (%28:2)", Frame("f(x)\na---b%", "(", 2)),
        (b"100% (%zz:1)", Frame("100%", "%zz", 1)),
        ("жаба (/ä.py:1)".encode(), Frame("жаба", "/ä.py", 1)),
        (b"\xff%ff (\xff:1)", Frame("\ufffd\ufffd", "\ufffd", 1)),
        (b"", Frame("")),
    ],
)
def test_names_are_read(name, frame):
    assert only(symbols(b"0x10 " + name) + heap(([0x10], row(1, 1)))).stack == (frame,)


def test_native_callers_are_looked_up_one_below_their_return_address_first():
    named = symbols(b"0xf calling", b"0x10 next", b"0x1f other", b"0x30 exact")
    stack = only(named + heap(([0x10, 0x10, 0x30, 0x40], row(1, 1)))).stack
    assert [frame.function for frame in stack] == ["next", "calling", "exact", "0x40"]


def test_an_innermost_native_frame_may_be_known_by_the_address_below_only():
    assert only(symbols(b"0xf f") + heap(([0x10], row(1, 1)))).stack == (Frame("f"),)


def test_python_frames_are_looked_up_by_their_address_alone():
    python = 0x6A00000000000010
    named = symbols(b"0x%x other" % (python - 1), b"0x%x own" % (python + 16))
    stack = only(named + heap(([python, python, python + 16], row(1, 1)))).stack
    assert [frame.function for frame in stack] == [f"{python:#x}", f"{python:#x}", "own"]


def test_leading_zeros_of_addresses_do_not_matter():
    dump = heap(([0x10], row(1, 1))).replace(b"0x10", b"0x0000000000000010")
    assert only(symbols(b"0x010 f") + dump).stack == (Frame("f"),)


def test_facts_are_decoded():
    profile = parse(symbols(b"# a%3ab: 50%25: x%0ay", b"# empty:", b"binary=/a%0ab") + HEAP)
    assert profile.facts == {"a:b": "50%: x\ny", "empty": ""}
    assert profile.binary == "/a\nb"


def test_equal_names_are_one_object():
    (first, *_), (second, *_) = (sample.stack[::-1] for sample in parse(DUMP).samples)
    assert first is second


# --- damaged dumps ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dump", "at", "expected"),
    [
        (b"", b"", "heap_v2/"),
        (b"\x89PNG\r\n", b"\x89", "heap_v2/"),
        (DUMP.replace(b"heap_v2", b"heap_v1"), b"heap_v1", "heap_v2/"),
        (DUMP.replace(b"/524288", b"/many"), b"heap_v2/many", "interval"),
        (DUMP.replace(b"/524288", b"/" + b"9" * 5000), b"heap_v2/999", "interval"),
        (DUMP.replace(b"0x7f0012345678 def", b"7f0012345678 def"), b"7f0012345678 d", "0xADDRESS"),
        (DUMP.replace(b"---\n--- heap\n", b""), b"heap_v2/", "'---'"),
        (DUMP.replace(b"t*: 1: 48", b"t*: -1: 48"), b"  t*: -1", "'t*: objects"),
        (DUMP.replace(b"t*: 1: 48", b"t*: 1: " + b"9" * 21), b"  t*: 1: 999", "'t*: objects"),
        (DUMP.replace(b"t*: 1: 48", b"t*: 1: 0"), b"  t*: 1: 0", "more bytes"),
        (DUMP.replace(b"@ 0x7f0012345678", b"@ 0xg"), b"@ 0xg", "'@'"),
        (DUMP.replace(b"@ 0x7f0012345678", b"@ 7f00"), b" 7f00", "addresses"),
        (DUMP.replace(b"@ 0x7f0012345678", b"@ 0x" + b"1" * 17), b" 0x11111", "addresses"),
        (DUMP.replace(b"@ 0x7f0012345678", b"@ 0x 0x1"), b" 0x 0x1", "addresses"),
        (DUMP.replace(b"  t0: 2: 1000", b"  t0 2 1000"), b"  t0 2", "MAPPED_LIBRARIES"),
        (DUMP.replace(b"\nMAPPED_LIB", b"\nmapped_lib"), b"\nmapped", "MAPPED_LIBRARIES"),
        (symbols(b"# coarsest_interval_bytes: 1k") + HEAP, b"1k", "coarsest_interval_bytes"),
    ],
)
def test_a_damaged_dump_says_where_and_what(dump, at, expected):
    with pytest.raises(ProfileError) as raised:
        parse(dump)
    assert raised.value.offset == dump.index(at)
    assert expected in raised.value.expected
    assert raised.value.cut_off == (b"\nMAPPED_LIBRARIES:" not in dump)
    assert str(raised.value).startswith(
        f"expected {raised.value.expected} at byte {dump.index(at)}"
    )
    assert ("cut off" in str(raised.value)) == raised.value.cut_off


def test_a_dump_that_was_cut_off_anywhere_says_so():
    for length in range(DUMP.index(b"MAPPED_LIBRARIES:") + len("MAPPED_LIBRARIES:")):
        with pytest.raises(ProfileError) as raised:
            parse(DUMP[:length])
        assert raised.value.cut_off
        assert raised.value.offset <= length


def test_the_error_survives_pickling():
    error = ProfileError("a row", 12, cut_off=True)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(copy), copy.offset, copy.cut_off) == (str(error), 12, True)


def read(dump):
    try:
        return parse(dump)
    except ProfileError as error:
        return error


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


# --- writing ----------------------------------------------------------------------------------

text = st.text(
    st.one_of(st.sampled_from("-%( ):\n\r\0\x7f"), st.characters(exclude_categories=())),
    max_size=12,
)
any_frames = st.builds(Frame, text, text, st.integers(0, 2**31 - 1))
any_records = st.tuples(
    st.lists(any_frames, max_size=5), st.integers(0, 2**40), st.integers(0, 2**50)
)


def readable(string):
    return string.encode("utf-8", "replace").decode()


def readable_frame(frame):
    return Frame(readable(frame.function), readable(frame.file), frame.line)


@given(st.lists(any_records), st.dictionaries(text, text), text)
@example([([Frame("f", "a:12"), Frame("f", ":1"), Frame("", "", 3)], 1, 1)], {}, "")
@example([([Frame("a--b (c", "d--e (f)", 0), Frame("---", "---", 1)], 1, 1)], {"--": "--"}, "--")
def test_what_is_written_is_read(records, facts, binary):
    chunks = list(write(iter(records), facts=facts, binary=binary))
    assert all(chunks)
    profile = parse(b"".join(chunks))
    assert profile.samples == merge(
        Sample(tuple(map(readable_frame, stack)) or (NO_STACK,), objects, size)
        for stack, objects, size in records
        if objects or size
    )
    assert profile.facts == {readable(key): readable(value) for key, value in facts.items()}
    assert (profile.binary, profile.interval_bytes) == (readable(binary), 1)


def test_sampled_records_are_unsampled_when_they_are_read():
    records = [((GET, MAIN), 2, 1000), ((DEFLATE, MAIN), 1, 48)]
    assert parse(b"".join(write(records, interval_bytes=524288))).samples == parse(DUMP).samples


def test_a_line_that_is_not_known_is_not_written():
    profile = parse(b"".join(write([((Frame("f", "a.py", -1), Frame("g", "", 0)), 1, 1)])))
    assert profile.samples[0].stack == (Frame("f", "a.py"), Frame("g"))


def test_a_dump_is_laid_out_as_jemalloc_s():
    written = b"".join(
        write([((GET,), 2, 1000), ((GET,), 1, 48)], facts={"pid": "1"}, binary="/py")
    )
    assert written.decode().splitlines() == [
        "--- symbol",
        "binary=/py",
        "# pid: 1",
        "0x6a0000000000000f Handler.get (/srv/app/service.py:41)",
        "0x6a00000000000010 Handler.get (/srv/app/service.py:41)",
        "---",
        "--- heap",
        "heap_v2/1",
        "  t*: 3: 1048 [0: 0]",
        "@ 0x6a00000000000010",
        "  t*: 2: 1000 [0: 0]",
        "@ 0x6a00000000000010",
        "  t*: 1: 48 [0: 0]",
        "",
        "MAPPED_LIBRARIES:",
    ]


def test_chunks_are_neither_lines_nor_everything():
    frames = [Frame(f"function_{i}", "/srv/app.py", i) for i in range(10_000)]
    chunks = list(write((frames[i : i + 20], 1, 100) for i in range(9_000)))
    assert max(map(len, chunks)) < 2 * CHUNK_BYTES
    assert len(chunks) < sum(map(len, chunks)) / CHUNK_BYTES + 6


# --- against jeprof ---------------------------------------------------------------------------


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
    told = jeprof(b"".join(write(records, facts={"a--b": "c=d\n---"}, binary="/usr/bin/py")))
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
