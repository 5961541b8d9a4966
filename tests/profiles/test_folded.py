from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_profiles import Frame, Profile, Sample, merge
from endoscope_profiles.folded import write
from made import PROFILES

GET = Frame("Handler.get", "/srv/service.py", 41)
MAIN = Frame("main", "/srv/service.py", 7)
DEFLATE = Frame("deflate", "/lib/libz.so.1")
MARKER = Frame("[no Python]")


def sample(size, *stack, objects=1):
    return Sample(stack, objects, size)


def folded(*samples, **options):
    return b"".join(write(Profile(merge(samples), 1), **options)).decode()


def read(text):
    """Read as flame graph tools do: the last word is what the stack holds."""
    lines = [line.rpartition(" ") for line in text.splitlines()]
    return {tuple(stack.split(";")): int(held) for stack, _, held in lines}


def test_a_line_is_a_stack_outermost_first_and_what_it_holds():
    assert folded(sample(1048576, GET, MAIN)) == "main;Handler.get 1048576\n"


def test_objects_can_be_counted():
    assert folded(sample(1048576, GET, MAIN, objects=72), objects=True) == "main;Handler.get 72\n"


def test_lines_tell_files_too():
    text = folded(sample(7, MARKER, DEFLATE, GET), lines=True)
    assert text == "Handler.get (/srv/service.py:41);deflate (/lib/libz.so.1);[no Python] 7\n"


def test_stacks_that_read_the_same_are_one():
    other = MAIN._replace(line=8)
    assert folded(sample(7, GET, MAIN), sample(5, GET, other)) == "main;Handler.get 12\n"
    assert len(read(folded(sample(7, GET, MAIN), sample(5, GET, other), lines=True))) == 2


def test_the_most_comes_first():
    text = folded(sample(1, MAIN), sample(3, GET, objects=1), sample(2, DEFLATE, objects=9))
    assert [*read(text)] == [("Handler.get",), ("deflate",), ("main",)]
    text = folded(sample(1, MAIN), sample(3, GET), sample(2, DEFLATE, objects=9), objects=True)
    assert next(iter(read(text))) == ("deflate",)


def test_growth_keeps_its_sign():
    assert folded(sample(-5, GET, MAIN), sample(2, MAIN)) == "main 2\nmain;Handler.get -5\n"


def test_what_holds_nothing_is_left_out():
    assert folded(sample(0.2, GET), sample(7, MAIN)) == "main 7\n"
    assert folded() == ""


def test_sums_are_the_profile_s():
    assert sum(read(folded(*(sample(0.4, Frame(f"f{n}")) for n in range(100)))).values()) == 40


@pytest.mark.parametrize(
    ("function", "written"),
    [
        ("a;b", "a%3bb"),
        ("a\nb\rc\x7f", "a%0ab%0dc%7f"),
        ("50%", "50%25"),
        ("operator new", "operator new"),
        ("count 12", "count%2012"),
        ("count 1.5", "count%201.5"),
        ("count 12x", "count 12x"),
        ("", "[unnamed]"),
        ("жаба", "жаба"),
        ("\ud800", "?"),
    ],
)
def test_no_name_breaks_the_format(function, written):
    assert folded(sample(5, Frame(function), MAIN)) == f"main;{written} 5\n"


def test_a_file_may_break_it_as_little():
    frame = Frame("f", "/a;b\n.py", 3)
    assert folded(sample(5, frame), lines=True) == "f (/a%3bb%0a.py:3) 5\n"


ANY_FRAMES = st.builds(
    Frame, st.text(max_size=9), st.text(max_size=9), st.integers(0, 99), st.just("")
)
ANY_SAMPLES = st.builds(
    Sample, st.lists(ANY_FRAMES, min_size=1, max_size=5).map(tuple), st.just(1), st.integers(1, 99)
)


@given(st.lists(ANY_SAMPLES), st.booleans())
def test_whatever_names_there_are_no_stack_is_lost(samples, lines):
    text = folded(*samples, lines=lines)
    held = [line.rpartition(" ") for line in text.split("\n")[:-1]]
    assert sum(int(size) for _, _, size in held) == sum(each.bytes for each in samples)
    depths = {len(each.stack) for each in samples}
    assert {len(stack.split(";")) for stack, _, _ in held} == depths


@given(PROFILES)
def test_functions_hold_what_they_hold_in_the_profile(profile):
    told = read(b"".join(write(profile)).decode())
    for name in {frame.function for each in profile.samples for frame in each.stack}:
        own = sum(each.bytes for each in profile.samples if each.stack[0].function == name)
        assert sum(size for stack, size in told.items() if stack[-1] == name) == pytest.approx(
            own, abs=len(profile.samples)
        )
