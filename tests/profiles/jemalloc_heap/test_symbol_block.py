from __future__ import annotations

import pytest

from dumps import DUMP, HEAP, heap, only, row, symbols
from endoscope_profiles import Frame
from endoscope_profiles.jemalloc_heap import native_addresses, parse


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
