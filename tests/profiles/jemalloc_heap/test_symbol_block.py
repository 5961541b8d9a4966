from __future__ import annotations

import pytest

from dumps import DUMP, HEAP, heap, only, row, symbols
from endoscope_profiles import Frame
from endoscope_profiles.jemalloc_heap import Names, facts_in, native_addresses, parse, write


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


def test_facts_are_decoded():
    profile = parse(symbols(b"# a%3ab: 50%25: x%0ay", b"# empty:", b"binary=/a%0ab") + HEAP)
    assert profile.facts == {"a:b": "50%: x\ny", "empty": ""}
    assert profile.binary == "/a\nb"


def test_equal_names_are_one_object():
    (first, *_), (second, *_) = (sample.stack[::-1] for sample in parse(DUMP).samples)
    assert first is second


def test_build_ids_are_no_facts():
    lines = b"# build_id: 00ff /lib/libz.so.1", b"# build_id: abcd /a%25 b", b"# build_ids: 2"
    expected = {"/lib/libz.so.1": "00ff", "/a% b": "abcd"}
    profile = parse(symbols(*lines) + HEAP)
    assert (profile.build_ids, profile.facts) == (expected, {"build_ids": "2"})
    assert native_addresses(symbols(*lines) + HEAP).build_ids == expected


def test_facts_are_told_from_the_first_bytes():
    facts = {"service": "shop%\n# pid: 1", "pid": "7", "taken": "now"}
    written = b"".join(write([((Frame("f"),), 1, 5)], facts=facts, binary="/usr/bin/python3"))
    assert facts_in(written) == facts == parse(written).facts
    cut = written.index(b"# taken") + 5
    assert facts_in(written[:cut]) == {"service": facts["service"], "pid": "7"}


@pytest.mark.parametrize("text", [b"", b"heap_v2/1\n# pid: 7\n", b"--- symbol\n0x1 f\n# pid: 7\n"])
def test_there_are_none_where_they_do_not_come_first(text):
    assert facts_in(text) == {}


def test_build_ids_are_no_facts_at_first_sight_either():
    written = write([], facts={"pid": "7"}, build_ids={"/lib/libz.so.1": "8fa0"})
    assert facts_in(b"".join(written)) == {"pid": "7"}


def test_dumps_read_with_the_same_names_share_their_frames():
    written = b"".join(write([((Frame("f", "a.py", 1),), 1, 5)]))
    names = Names()
    one, other = (parse(written, names=names).samples[0].stack[0] for _ in range(2))
    assert one is other
    assert parse(written).samples[0].stack[0] is not one
