from __future__ import annotations

import gzip
import math
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.message import Message
from hypothesis import assume, given
from hypothesis import strategies as st

from endoscope_profiles import (
    Frame,
    Profile,
    ProfileError,
    Sample,
    jemalloc_heap,
    limits,
    merge,
    pprof,
)
from endoscope_profiles.coverage import statement
from endoscope_profiles.profile_proto import ProfileMessage

GO_HEAP = Path(__file__).parent / "data" / "go-heap.pb.gz"

GET = Frame("Handler.get", "/srv/service.py", 41)
MAIN = Frame("main", "/srv/service.py", 7)
DEFLATE = Frame("deflate", "/lib/libz.so.1")
MARKER = Frame("[no Python]")
FACTS = {
    "service": "shop",
    "taken": "2026-11-25T03:03:26Z",
    "profiling_since": "2026-11-25T03:00:26Z",
    "coarsest_interval_bytes": "524288",
}
PROFILE = Profile(
    merge(
        [
            Sample((GET, MAIN), 1200.4, 86428.8, 900, 4e10),
            Sample((DEFLATE, MARKER, MAIN), 1.4, 9000.3, 700, 5e10),
        ]
    ),
    524288,
    FACTS,
    "/usr/bin/python3.11",
    {"/lib/libz.so.1": "8fa0", "/lib/libm.so.6": "77aa"},
)


def written(profile, **options):
    """Return the message that a reader has before it."""
    message = ProfileMessage()
    message.ParseFromString(gzip.decompress(pprof.write(profile, **options)))
    return message


def again(profile):
    return pprof.parse(gzip.decompress(pprof.write(profile)))


def by_stack(profile, *names):
    return {s.stack: tuple(getattr(s, name) for name in names) for s in profile.samples}


def text(message, index):
    return message.string_table[index].decode()


def comments(message):
    return [text(message, index) for index in message.comment]


# --- writing ----------------------------------------------------------------------------------


def test_values_are_whole_and_their_sums_the_rounded_ones():
    message = written(PROFILE)
    kinds = [(text(message, each.type), text(message, each.unit)) for each in message.sample_type]
    assert kinds == [("inuse_objects", "count"), ("inuse_space", "bytes")]
    assert text(message, message.default_sample_type) == "inuse_space"
    assert [list(sample.value) for sample in message.sample] == [[1201, 86429], [1, 9000]]


def test_it_says_how_it_was_sampled_and_when():
    message = written(PROFILE)
    assert (text(message, message.period_type.type), message.period) == ("space", 524288)
    assert text(message, message.period_type.unit) == "bytes"
    assert message.time_nanos == 1795575806 * 10**9
    assert message.duration_nanos == 180 * 10**9


@pytest.mark.parametrize(
    ("facts", "time", "duration"),
    [
        ({}, 0, 0),
        ({"taken": "yesterday"}, 0, 0),
        ({"profiling_since": "2026-11-25T03:00:26Z"}, 0, 0),
        ({"taken": "1970-01-01T01:00:01.5+01:00"}, 1_500_000_000, 0),
        ({"taken": "1970-01-01T00:00:01"}, 10**9, 0),
        ({"taken": "1970-01-01T00:00:01Z", "profiling_since": "1970-01-01T00:00:02Z"}, 10**9, 0),
        ({"taken": "9999-12-31T23:59:59Z"}, 0, 0),
        (
            {"taken": "2262-01-01", "profiling_since": "1678-01-01"},
            9_214_646_400 * 10**9,
            2**63 - 1,
        ),
    ],
)
def test_a_time_is_written_where_it_is_known(facts, time, duration):
    message = written(Profile((), 1, facts))
    assert (message.time_nanos, message.duration_nanos) == (time, duration)


def test_comments_tell_what_it_covers_and_hidden_from_pprof_s_headers_the_facts():
    assert comments(written(PROFILE)) == [
        *statement(PROFILE),
        "# service: shop",
        "# taken: 2026-11-25T03:03:26Z",
        "# profiling_since: 2026-11-25T03:00:26Z",
        "# coarsest_interval_bytes: 524288",
    ]


def test_what_it_covers_can_be_given():
    told = comments(written(PROFILE, coverage=("Growth.",)))
    assert (told[0], len(told)) == ("Growth.", 1 + len(FACTS))


def test_blocks_have_a_label():
    (_, size), (_, other) = ((sample, sample.label[0].num) for sample in written(PROFILE).sample)
    assert (size, other) == (72, 6429)
    growth = [Sample((GET,), 2, -9), Sample((MAIN,), -2, -8), Sample((DEFLATE,), 0, 5)]
    sizes = [[label.num for label in s.label] for s in written(Profile(merge(growth), 1)).sample]
    assert sizes == [[], [4], []]


def test_native_frames_have_a_mapping_and_the_program_has_the_first():
    message = written(PROFILE)
    mappings = [(text(message, m.filename), text(message, m.build_id)) for m in message.mapping]
    assert mappings == [
        ("/usr/bin/python3.11", ""),
        ("/lib/libz.so.1", "8fa0"),
        ("/lib/libm.so.6", "77aa"),
    ]
    assert all(mapping.has_functions for mapping in message.mapping)
    names = {each.id: text(message, each.name) for each in message.function}
    mapped = {names[each.line[0].function_id]: each.mapping_id for each in message.location}
    assert mapped == {"Handler.get": 0, "main": 0, "deflate": 2, "[no Python]": 0}


def test_a_program_that_is_not_known_has_a_mapping_so_that_no_library_passes_for_it():
    message = written(Profile((Sample((DEFLATE,), 1, 9),), 1))
    assert [text(message, each.filename) for each in message.mapping] == ["", "/lib/libz.so.1"]


def test_ids_are_unique_and_not_zero():
    message = written(PROFILE)
    for table in (message.mapping, message.location, message.function):
        assert [each.id for each in table] == list(range(1, len(table) + 1))
    assert message.string_table[0] == b""
    assert len(set(message.string_table)) == len(message.string_table)


def test_equal_profiles_give_equal_bytes():
    once = pprof.write(PROFILE)
    assert pprof.write(PROFILE) == once
    assert once[4:8] == b"\0\0\0\0"  # no time in gzip's header


def test_numbers_beyond_64_bits_are_refused():
    with pytest.raises(ValueError, match=r"(?i)range"):
        pprof.write(Profile((Sample((GET,), 1, 1e19),), 1))


# --- the numbers of profile.proto's fields ----------------------------------------------------


def varint(number):
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_fields_have_the_numbers_that_profile_proto_gives_them():
    strings = [b"", b"inuse_objects", b"count", b"inuse_space", b"bytes", b"f", b"a.py", b"lib"]
    strings += [b"8f", b"Note", b"space", b"g"]
    data = b"".join(
        [
            field(1, field(1, 1) + field(2, 2)),  # sample_type: type, unit
            field(1, field(1, 3) + field(2, 4)),
            field(
                2, field(1, b"\1\2") + field(2, b"\5\x50") + field(3, field(1, 4) + field(3, 16))
            ),
            field(3, field(1, 1) + field(5, 7) + field(6, 8)),  # mapping: id, filename, build_id
            field(4, field(1, 1) + field(4, field(1, 1) + field(2, 9))),  # location: id, line
            field(4, field(1, 2) + field(2, 1) + field(3, 77) + field(4, field(1, 2))),
            field(5, field(1, 1) + field(2, 5) + field(4, 6)),  # function: id, name, filename
            field(5, field(1, 2) + field(2, 11)),
            *(field(6, each) for each in strings),
            field(9, 10**9) + field(10, 10**9),
            field(11, field(1, 10) + field(2, 4)) + field(12, 32),
            field(13, 9) + field(14, 3),
        ]
    )
    (sample,) = (profile := pprof.parse(data)).samples
    assert sample.stack == (Frame("f", "a.py", 9), Frame("g", "lib"))
    assert (sample.objects, sample.bytes, profile.interval_bytes) == (5, 80, 32)
    assert sample.objects_variance == pytest.approx(5 / math.expm1(16 / 32))
    assert (profile.binary, profile.build_ids) == ("lib", {"lib": "8f"})
    assert profile.facts == {
        "taken": "1970-01-01T00:00:01Z",
        "profiling_since": "1970-01-01T00:00:00Z",
    }


def test_the_field_of_our_own_is_skipped_by_who_does_not_know_it():
    """As pprof's Go code does: it has fields up to 14, and for a sample up to 3."""
    (sample, *_) = written(PROFILE).sample
    known = [field for field, _ in sample.ListFields() if field.number <= 3]
    assert {each.name for each in known} == {"location_id", "value", "label"}


HOST = """
import sys
from google.protobuf import descriptor_pb2, descriptor_pool
def host():
    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="perftools.profiles")
    file.message_type.add(name="Profile").field.add(name="other", number=1, type=5, label=1)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    descriptor_pool.Default().FindMessageTypeByName("perftools.profiles.Profile")
if sys.argv[1] == "first": host()
from endoscope_profiles import Frame, Profile, Sample, pprof
if sys.argv[1] == "later": host()
pprof.write(Profile((Sample((Frame("f"),), 1, 9),), 1))
"""


@pytest.mark.parametrize("when", ["first", "later"])
def test_a_host_may_have_messages_of_the_same_names(when):
    subprocess.run([sys.executable, "-c", HOST, when], check=True, timeout=60)


# --- there and back ---------------------------------------------------------------------------


def test_what_is_written_is_read():
    read = again(PROFILE)
    assert by_stack(read, "objects", "bytes") == {
        (GET, MAIN): (1201, 86429),
        (DEFLATE, MARKER, MAIN): (1, 9000),
    }
    variances = ("objects_variance", "bytes_variance")
    assert by_stack(read, *variances) == by_stack(PROFILE, *variances)
    assert (read.facts, read.interval_bytes) == (FACTS, 524288)
    assert (read.binary, read.build_ids) == (PROFILE.binary, PROFILE.build_ids)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
FRAMES = st.builds(Frame, TEXTS, TEXTS, st.integers(0, 99), st.just(""))
NUMBERS = st.floats(-1e12, 1e12)
VARIANCES = st.floats(0, 1e300)
SAMPLES = st.builds(
    Sample,
    st.lists(FRAMES, min_size=1, max_size=5).map(tuple),
    NUMBERS,
    NUMBERS,
    VARIANCES,
    VARIANCES,
)
PROFILES = st.builds(
    Profile,
    st.lists(SAMPLES, max_size=9, unique_by=lambda sample: sample.stack).map(merge),
    st.integers(0, 2**40),
    st.dictionaries(TEXTS, TEXTS),
    TEXTS,
    st.dictionaries(TEXTS, TEXTS.filter(bool)),
)


@given(PROFILES)
def test_any_profile_comes_back(profile):
    read = again(profile)
    assert sum(sample.bytes for sample in read.samples) == round(profile.bytes)
    assert sum(sample.objects for sample in read.samples) == round(profile.objects)
    told = {sample.stack: sample for sample in read.samples}
    for sample in profile.samples:
        same = told.pop(sample.stack, Sample(sample.stack, 0, 0))
        assert same.bytes == pytest.approx(sample.bytes, abs=1.5)
        assert same.objects == pytest.approx(sample.objects, abs=1.5)
        if same.bytes or same.objects:
            assert same.objects_variance == sample.objects_variance
            assert same.bytes_variance == sample.bytes_variance
    assert told == {}
    assert (read.interval_bytes, read.facts) == (profile.interval_bytes, profile.facts)
    assert (read.binary, read.build_ids) == (profile.binary, profile.build_ids)


@given(PROFILES)
def test_the_second_time_nothing_changes(profile):
    once = again(profile)
    assert again(once) == once


def test_lone_surrogates_become_question_marks():
    read = again(Profile((Sample((Frame("a\ud800"),), 1, 9),), 1, {"\udcff": "\ud800"}))
    assert (read.samples[0].stack, read.facts) == ((Frame("a?"),), {"?": "?"})


# --- standard errors that are not in the file --------------------------------------------------


def without_variances(profile):
    message = written(profile)
    for sample in message.sample:
        sample.ClearField("variance")
    return pprof.parse(message.SerializeToString())


@pytest.mark.parametrize("coarsest", [4096, 65536])
def test_those_of_equal_blocks_are_reckoned_again(coarsest):
    """From whole objects, of which there are many here; a block's size is not rounded."""
    records = [([GET, MAIN], 400, 400 * 72), ([MAIN], 30, 30 * 9000)]
    facts = {"coarsest_interval_bytes": str(coarsest)}
    dump = b"".join(jemalloc_heap.write(records, interval_bytes=4096, facts=facts))
    profile = jemalloc_heap.parse(dump)
    for name in ("objects_variance", "bytes_variance"):
        (told,) = zip(*by_stack(without_variances(profile), name).values(), strict=True)
        (true,) = zip(*by_stack(profile, name).values(), strict=True)
        assert told == pytest.approx(true, rel=0.02)


def test_those_of_unequal_blocks_are_too_small_for_objects_and_hardly_too_large_for_bytes():
    records = [([GET], 40, 40 * 72), ([GET], 9, 9 * 3000)]
    profile = jemalloc_heap.parse(b"".join(jemalloc_heap.write(records, interval_bytes=4096)))
    told = without_variances(profile)
    assert 0.8 < told.objects_error / profile.objects_error < 0.95
    assert 1 < told.bytes_error / profile.bytes_error < 1.05


def test_what_was_recorded_in_full_has_none():
    assert without_variances(Profile((Sample((GET,), 7, 900, 5, 5),), 1)).bytes_error == 0


# --- others' profiles -------------------------------------------------------------------------


def test_go_s_heap_profile_is_read():
    """Its totals are those of `go tool pprof -top -unit=B`, with and without inuse_objects."""
    profile = pprof.parse(gzip.decompress(GO_HEAP.read_bytes()))
    assert profile.interval_bytes == 16384
    assert 0 < profile.bytes_error < 0.1 * profile.bytes
    (largest, *_) = profile.samples
    assert [frame.function for frame in largest.stack] == [
        "main.keepLarge",  # inlined into the next, as that is into main
        "main.inlined",
        "main.main",
        "runtime.main",
    ]
    assert largest.stack[0].file.endswith("main.go")
    assert list(profile.facts) == ["taken"]


def foreign(*kinds):
    """Return a message with one stack, with the values 1, 2 and so on."""
    message = ProfileMessage(string_table=[b"", b"f", b"libx.so"])
    for kind in kinds:
        message.string_table.extend(part.encode() for part in kind.split("/"))
        message.sample_type.add(
            type=len(message.string_table) - 2, unit=len(message.string_table) - 1
        )
    message.function.add(id=7, name=1)
    message.location.add(id=9).line.add(function_id=7, line=3)
    message.sample.add(location_id=[9], value=range(1, 1 + len(kinds)))
    return message


HEAP = ("alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes")


def parsed(message: Message):
    return pprof.parse(message.SerializeToString())


def test_values_are_found_by_their_names():
    (sample,) = parsed(foreign(*HEAP)).samples
    assert sample == Sample((Frame("f", "", 3),), 3, 4)
    (sample,) = parsed(foreign("inuse_space/bytes", "x/y", "inuse_objects/count")).samples
    assert sample == Sample((Frame("f", "", 3),), 3, 1)


def test_blocks_of_several_sizes_under_one_stack_are_summed():
    message = foreign(*HEAP)
    message.sample.add(location_id=[9], value=[0, 0, 5, 500])
    assert parsed(message).samples == (Sample((Frame("f", "", 3),), 8, 504),)


def test_stacks_that_hold_nothing_any_more_are_left_out():
    message = foreign(*HEAP)
    message.sample.add(value=[9, 900, 0, 0])
    assert len(parsed(message).samples) == 1


def test_places_without_names_have_their_address_and_library():
    message = foreign(*HEAP)
    message.mapping.add(id=4, filename=2)
    message.location.add(id=10, mapping_id=4, address=0x7F12)
    message.sample.add(location_id=[10, 9], value=[0, 0, 1, 9])
    assert parsed(message).samples[0].stack == (Frame("0x7f12", "libx.so"), Frame("f", "", 3))


def test_a_stack_without_frames_has_a_marker():
    message = foreign(*HEAP)
    message.sample.add(value=[0, 0, 1, 9])
    assert parsed(message).samples[0].stack == (jemalloc_heap.NO_STACK,)


def test_an_interval_that_is_not_in_bytes_is_none():
    message = foreign(*HEAP)
    message.period = 100
    assert parsed(message).interval_bytes == 0
    message.period_type.unit = list(message.string_table).index(b"bytes")
    assert parsed(message).interval_bytes == 100
    message.period = -100
    assert parsed(message).interval_bytes == 0


def test_names_need_not_be_utf_8():
    message = foreign(*HEAP)
    message.string_table[1] = b"f\xff"
    assert parsed(message).samples[0].stack[0].function == "f\ufffd"


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ((), "not none"),
        (("samples/count", "cpu/nanoseconds"), "not samples/count, cpu/nanoseconds"),
        (("inuse_space/kilobytes", "inuse_objects/count"), "not inuse_space/kilobytes, inuse_obj"),
        (("inuse_space/bytes",), "inuse_objects/count and inuse_space/bytes, not inuse_space/byt"),
    ],
)
def test_what_is_no_heap_profile_tells_what_it_has(kinds, found):
    with pytest.raises(ProfileError, match=found):
        parsed(foreign(*kinds))


def test_a_long_list_of_what_it_has_is_cut():
    with pytest.raises(ProfileError) as raised:
        parsed(foreign(*(f"{'x' * 100}/{n}" for n in range(100))))
    assert len(str(raised.value)) < 400


# --- damaged and hostile ones ------------------------------------------------------------------


def spoilt(change):
    message = foreign(*HEAP)
    change(message)
    return message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.sample[0].location_id.append(8), "location or function of the id 8"),
        (lambda m: m.location[0].line.add(function_id=6), "location or function of the id 6"),
        (lambda m: m.sample[0].value.append(1), "4 values in a sample"),
        (lambda m: m.sample[0].variance.append(1), "a variance for each value"),
        (lambda m: m.sample[0].variance.extend([1, 1, 1, -1]), "a variance for each value"),
        (lambda m: m.sample[0].variance.extend([1, 1, math.nan, 1]), "a variance for each value"),
        (lambda m: m.sample[0].variance.extend([1, 1, 1, 1e302]), "a variance for each value"),
        (lambda m: m.sample[0].variance.extend([1, 1, math.inf, 1]), "a variance for each value"),
        (lambda m: m.sample[0].value.__setitem__(3, 2**62), "live bytes and objects"),
        (lambda m: m.function.add(id=1, name=99), "an index below 11, not 99, of a string"),
        (lambda m: m.function.add(id=1, name=-1), "an index below 11, not -1, of a string"),
        (lambda m: m.comment.append(99), "an index below 11, not 99, of a string"),
    ],
)
def test_what_does_not_fit_together_is_told(change, expected):
    with pytest.raises(ProfileError, match=expected):
        parsed(spoilt(change))


@pytest.mark.parametrize("field", ["sample", "mapping", "location", "function"])
def test_more_than_the_limits_is_refused(field, monkeypatch):
    monkeypatch.setitem(pprof._MOST, field, 0)
    message = foreign(*HEAP)
    message.mapping.add(id=1)
    with pytest.raises(ProfileError, match=f"at most 0 {field}s"):
        parsed(message)


def test_frames_may_not_multiply(monkeypatch):
    monkeypatch.setattr(limits, "FRAMES", 10_000)
    message = foreign(*HEAP)
    for _ in range(101):
        message.location[0].line.add(function_id=7)
    message.sample.add(location_id=[9] * 100, value=[0, 0, 1, 9])
    with pytest.raises(ProfileError, match="at most 10,000 frames"):
        parsed(message)


def read_or_refused(data):
    try:
        return pprof.parse(data)
    except ProfileError:
        return None


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    read_or_refused(data)


@given(st.data())
def test_a_file_that_was_changed_anywhere_is_read_or_refused(data):
    whole = bytearray(gzip.decompress(pprof.write(PROFILE)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    profile = read_or_refused(bytes(whole))
    assume(profile)
    assert profile.bytes_error >= 0


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**63 - 1))
def test_any_time_is_read(time, duration):
    message = foreign(*HEAP)
    message.time_nanos, message.duration_nanos = time, duration
    assert ("taken" in parsed(message).facts) == (time != 0)


@given(st.lists(st.integers(-(2**58), 2**58), min_size=4, max_size=4), st.integers(0, 2**63 - 1))
def test_any_numbers_are_read(values, period):
    message = foreign(*HEAP)
    message.sample[0].value[:] = values
    message.period = period
    message.period_type.unit = list(message.string_table).index(b"bytes")
    for sample in parsed(message).samples:
        assert sample.bytes_error >= 0
        assert sample.objects_error >= 0


def test_native_frames_keep_their_library_beside_their_source():
    native = Frame("deflate", "deflate.c", 12, "/lib/libz.so.1")
    whole = Profile((Sample((native, MAIN), 1, 5),), 1, binary="/usr/bin/python3")
    (sample,) = pprof.parse(gzip.decompress(pprof.write(whole))).samples
    assert sample.stack == (native, MAIN)


def test_all_code_of_somebody_else_s_program_is_no_library():
    whole = pprof.parse(gzip.decompress(GO_HEAP.read_bytes()))
    assert {frame.library for sample in whole.samples for frame in sample.stack} == {""}
