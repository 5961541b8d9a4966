from __future__ import annotations

import pytest

from dumps import HEAP, heap, only, read, row, symbols
from endoscope_profiles import ProfileError, limits
from endoscope_profiles.jemalloc_heap import parse

MANY = tuple(([n, n], row(1, 1)) for n in range(1, 9))


@pytest.mark.parametrize(
    ("limit", "dump", "line", "expected"),
    [
        ("SYMBOL_LINES", symbols(*[b"0x1 f"] * 9) + HEAP, 5, "at most 4 lines of names"),
        ("SYMBOL_BYTES", symbols(*[b"# a: b"] * 9) + HEAP, 2, "at most 4 bytes of names"),
        ("ADDRESSES", heap(*MANY), 11, "at most 4 different addresses"),
        ("STACKS", heap(*MANY), 11, "at most 4 different stacks"),
        ("FRAMES", heap(*MANY), 7, "at most 4 frames in all stacks together"),
        ("AMOUNT", heap(*MANY), 7, "at most 4 live bytes and objects"),
        ("AMOUNT", heap(interval=5), 1, "a sample interval of at most 4 bytes"),
        ("THREADS", heap(([1], *[row(1, 1, b"%d" % n) for n in range(9)])), 8, "at most 4 threads"),
    ],
)
def test_a_limit_says_which_it_is_and_on_which_line(limit, dump, line, expected, monkeypatch):
    monkeypatch.setattr(limits, limit, 4)
    error = read(dump)
    assert isinstance(error, ProfileError)
    assert (error.expected, error.line, error.cut_off) == (expected, line, False)
    assert dump.count(b"\n", 0, error.offset) == line - 1


def test_the_threads_that_have_names_are_limited(monkeypatch):
    monkeypatch.setattr(limits, "THREADS", 4)
    named = b"".join(b"  t%d: 1: 1 [0: 0] name\n" % number for number in range(9))
    with pytest.raises(ProfileError, match="at most 4 threads at line 7 "):
        parse(heap(([1], row(1, 1))).replace(b"@", named + b"@"), threads=True)


@pytest.mark.parametrize("threads", [[], [row(1, 1, b"7")]])
def test_each_thread_s_stacks_are_limited(threads, monkeypatch):
    monkeypatch.setattr(limits, "STACKS", 4)
    dump = heap(*[([n], row(1, 1), *threads) for n in range(1, 9)])
    with pytest.raises(ProfileError, match="at most 4 different stacks"):
        parse(dump, threads=True)


def test_as_many_as_the_limits_allow_are_read(monkeypatch):
    for limit in ("ADDRESSES", "STACKS"):
        monkeypatch.setattr(limits, limit, len(MANY))
    monkeypatch.setattr(limits, "FRAMES", 2 * len(MANY))
    assert len(parse(heap(*MANY, *MANY)).samples) == len(MANY)


def test_a_line_without_an_end_is_refused():
    dump = HEAP[: HEAP.index(b"@")] + b"@" + b" 0x1" * (limits.LINE_BYTES // 4)
    with pytest.raises(ProfileError) as raised:
        parse(iter([dump]))
    assert raised.value.expected == f"a line of at most {limits.LINE_BYTES:,} bytes"
    assert (raised.value.line, raised.value.cut_off) == (4, False)


def test_a_line_may_be_as_long_as_the_limit_says():
    depth = limits.LINE_BYTES // len(b" 0x1")
    dump = heap(([1] * (depth - 1), row(1, 1)))
    assert len(only(dump).stack) == depth - 1
    assert isinstance(read(dump.replace(b"@", b"@" + b" 0x1" * 2)), ProfileError)
