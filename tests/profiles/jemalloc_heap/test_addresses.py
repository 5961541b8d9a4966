from __future__ import annotations

from dumps import DUMP, heap, only, row, symbols
from endoscope_profiles import Frame
from endoscope_profiles.jemalloc_heap import native_addresses, parse


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


PYTHON = 0x6A00000000000010
INLINED = (Frame("inlined", "a.c", 3), Frame("outer", "a.c", 9))


def test_native_addresses_are_those_of_the_calls():
    dump = heap(([0x20, 0x20, PYTHON, 0x30], row(1, 1)), ([PYTHON, 0x30], row(1, 1)))
    assert native_addresses(dump).addresses == (0x1F, 0x2F)
    assert native_addresses(DUMP).addresses == (0x7F0012345677,)


def test_a_null_pointer_is_an_address():
    dump = heap(([1, 2], row(1, 1))).replace(b"0x1 0x2", b"0 0")
    assert only(dump).stack == (Frame("0x0"), Frame("0x0"))
    assert native_addresses(dump).addresses == (0,)


def test_names_that_are_given_replace_the_dump_s_own():
    dump = symbols(b"0x1f own", b"0x2f kept") + heap(([0x10, 0x20, 0x30], row(1, 1)))
    profile = parse(dump, native_names={0x1F: INLINED, 0x0F: INLINED[1:]})
    assert profile.samples[0].stack == (INLINED[1], *INLINED, Frame("kept"))


def test_a_given_name_is_that_of_the_call_and_of_no_other_address():
    (sample,) = parse(heap(([0x10, 0x20], row(1, 1))), native_names={0x20: INLINED}).samples
    assert sample.stack == (Frame("0x10"), Frame("0x20"))


def test_python_s_frames_keep_their_names():
    names = {PYTHON: INLINED, PYTHON - 1: INLINED}
    (sample,) = parse(heap(([PYTHON, PYTHON], row(1, 1))), native_names=names).samples
    assert sample.stack == (Frame(f"{PYTHON:#x}"),) * 2


def test_stacks_that_given_names_make_equal_are_one():
    dump = heap(([0x10], row(1, 10)), ([0x20], row(1, 20)))
    (sample,) = parse(dump, native_names={0x0F: INLINED, 0x1F: INLINED}).samples
    assert (sample.stack, sample.bytes) == (INLINED, 30)
