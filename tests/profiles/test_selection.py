import re

import pytest
from hypothesis import given

from endoscope_profiles import Frame, selection
from endoscope_profiles.addition import add
from endoscope_profiles.origin import Origin
from made import FRAMES, PROFILES, profile


def stacks(selected):
    return {" ".join(frame.function for frame in s.stack): s.bytes for s in selected.samples}


WHOLE = profile((3, "alloc get main"), (2, "alloc put main"), (1, "get alloc get main"))


def test_focus_and_ignore_part_the_stacks():
    pattern = re.compile("put")
    assert stacks(selection.focus(WHOLE, pattern)) == {"alloc put main": 2}
    assert stacks(selection.ignore(WHOLE, pattern)) == {
        "alloc get main": 3,
        "get alloc get main": 1,
    }


@pytest.mark.parametrize("pattern", ["^get", r"/srv/get\.py", r"get\.py:1$"])
def test_a_pattern_is_searched_in_function_file_and_line(pattern):
    assert len(selection.focus(WHOLE, re.compile(pattern)).samples) == 2


def test_hiding_frames_adds_up_what_became_one_stack():
    assert stacks(selection.hide(WHOLE, re.compile("^(get|put) "))) == {"alloc main": 6}


def test_a_stack_that_is_hidden_whole_is_still_counted():
    hidden = selection.hide(WHOLE, re.compile("."))
    assert [(s.stack, s.bytes) for s in hidden.samples] == [((selection.HIDDEN,), 6)]


def test_hiding_by_origin():
    assert stacks(selection.hide_origins(WHOLE, {Origin.PACKAGE})) == stacks(WHOLE)
    assert stacks(selection.hide_origins(WHOLE, {Origin.APPLICATION})) == {"[hidden]": 6}


@pytest.mark.parametrize(
    ("stack", "folded"),
    [
        ("c a b a", "c a"),
        ("a a a", "a"),
        ("c b a b a", "c b a"),
        ("d a c b a", "d a"),
        ("x a b c a b y", "x a b y"),
    ],
)
def test_recursion_is_folded(stack, folded):
    assert list(stacks(selection.fold_recursion(profile((1, stack))))) == [folded]


def test_of_recursive_calls_the_innermost_line_is_kept():
    inner, between, outer = Frame("a", "x.py", 9), Frame("b", "x.py", 1), Frame("a", "x.py", 2)
    whole = profile((1, "c"))
    (sample,) = whole.samples
    sample = type(sample)((inner, between, outer), 1.0, 1.0)
    whole = type(whole)((sample,), 1)
    assert selection.fold_recursion(whole).samples[0].stack == (inner,)


@given(PROFILES)
def test_hiding_and_folding_keep_every_amount(whole):
    for changed in (
        selection.hide(whole, re.compile("a")),
        selection.hide_origins(whole, selection.LIBRARY),
        selection.fold_recursion(whole),
    ):
        assert changed.bytes == pytest.approx(whole.bytes)
        assert changed.objects == pytest.approx(whole.objects)
        assert changed.bytes_error == pytest.approx(whole.bytes_error)


@given(PROFILES)
def test_folded_stacks_hold_no_function_twice(whole):
    for sample in selection.fold_recursion(whole).samples:
        functions = [(frame.function, frame.file) for frame in sample.stack]
        assert len(functions) == len(set(functions))


@given(FRAMES)
def test_the_text_has_all_of_a_frame(frame):
    assert selection.text(frame) == f"{frame.function} {frame.file}:{frame.line}"
    assert selection.text(Frame("[x]")) == "[x]"


def test_whose_a_stack_is_cannot_be_hidden_and_can_be_focused_on():
    parts = [profile((3, "a main"), pid="7"), profile((2, "a main"), pid="8")]
    whole = add(parts, by_process=True)
    assert stacks(selection.hide(whole, re.compile("main|process"))) == {
        "a [process 7]": 3,
        "a [process 8]": 2,
    }
    assert stacks(selection.hide(whole, re.compile("."))) == {
        "[hidden] [process 7]": 3,
        "[hidden] [process 8]": 2,
    }
    focused = selection.focus(whole, re.compile("process 8"))
    assert stacks(focused) == {"a main [process 8]": 2}


def test_the_largest_stacks_are_told_apart_and_the_others_are_one_of_each_process():
    parts = [
        profile((90, "a"), (5, "b"), (4, "c"), pid="7"),
        profile((80, "a"), (6, "b"), pid="8"),
    ]
    whole = add(parts, by_process=True)
    assert selection.largest(whole, 5) is whole
    assert stacks(selection.largest(whole, 2)) == {
        "a [process 7]": 90,
        "a [process 8]": 80,
        "[smaller stacks] [process 7]": 9,
        "[smaller stacks] [process 8]": 6,
    }
    assert stacks(selection.largest(parts[0], 1)) == {"a": 90, "[smaller stacks]": 9}
