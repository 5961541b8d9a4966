import gzip
import json
import re

import pytest

from endoscope_profiles import flamegraph, pprof
from endoscope_profiles.aggregate import BY
from endoscope_profiles.views import (
    FORMATS,
    GROWTH_FORMATS,
    HIDEABLE,
    OPTIONS,
    View,
    ViewError,
    policy,
    render,
    render_growth,
)
from made import profile

BASE = profile((1000, "leak main"), (500, "cache main"), taken="2026-11-24T00:00:00Z")
WHOLE = profile((9000, "leak main"), (500, "cache main"), taken="2026-11-24T01:00:00Z")


def shown(options, base=None):
    view = View.parse(options)
    return b"".join(render(view, WHOLE, title="shop", base=base))


def readable(options, base=None):
    written = shown(options, base)
    return gzip.decompress(written) if written.startswith(b"\x1f\x8b") else written


@pytest.mark.parametrize("made", FORMATS)
def test_every_format_shows_the_profile_and_its_growth(made):
    assert b"leak" in readable({"format": made})
    assert b"cache" in readable({"format": made})
    grown = readable({"format": made}, BASE)
    assert b"leak" in grown
    if made != "flamegraph":  # which shows what both hold, too
        assert b"cache" not in grown


@pytest.mark.parametrize("made", FORMATS)
def test_the_same_input_gives_the_same_output(made):
    assert shown({"format": made}) == shown({"format": made})


def test_a_diff_as_pprof_is_signed():
    shrunk = b"".join(render(View.parse({"format": "pprof"}), BASE, title="", base=WHOLE))
    assert pprof.parse(gzip.decompress(shrunk)).bytes == -8000


def test_files_for_others_state_what_a_comparison_covers():
    for made in ("pprof", "speedscope"):
        assert b"less what is live in the base" in readable({"format": made}, BASE)


def test_what_pprof_cannot_hold_is_said():
    whole = profile((1e30, "leak"))
    with pytest.raises(ViewError, match="pprof cannot hold it") as caught:
        list(render(View("pprof"), whole, title=""))
    assert "folded" in caught.value.remedy


def test_the_first_format_and_place_are_the_default():
    assert View.parse({}) == View("top", "function")
    assert View.parse_growth({}) == View("json", "stack")


@pytest.mark.parametrize("made", GROWTH_FORMATS)
def test_growth_in_every_format(made):
    written = render_growth(View.parse_growth({"format": made}), [BASE, WHOLE])
    assert b"leak" in written
    assert b"cache" not in written


def test_options_for_growth():
    view = View.parse_growth({"by": "function", "limit": "1", "ignore": "leak"})
    assert json.loads(render_growth(view, [BASE, WHOLE]))["suspects"] == []


def test_what_is_left_out():
    assert b"/srv/cache.py" not in shown({"focus": "leak"})
    assert b"/srv/leak.py" not in shown({"ignore": "^leak"})
    assert b"/srv/main.py" not in shown({"hide": "main"})
    assert b"leak 9000" in shown({"format": "folded", "hide": "main"})


@pytest.mark.parametrize("made", ["top", "csv", "flamegraph", "pprof", "speedscope"])
def test_what_is_left_out_is_told_beside_the_whole(made):
    text = readable({"format": made, "focus": "cache"})
    assert b"Live: 9.5 kB" in text
    assert b"Shown is what these options leave, 500 B " in text
    assert b"22 B: focus=cache." in text
    assert b"Shown is what" not in readable({"format": made})


def test_growth_says_what_it_leaves_out():
    view = View.parse_growth({"format": "text", "focus": "cache"})
    assert b"these options leave, 500 B" in render_growth(view, [BASE, WHOLE])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "pprof", "by": "line"}, "format=pprof heeds no by"),
        ({"format": "csv", "limit": "3"}, "format=csv heeds no limit"),
        ({"format": "flamegraph", "value": "objects"}, "format=flamegraph heeds no value"),
    ],
)
def test_an_option_that_makes_no_difference_is_refused(options, said):
    with pytest.raises(ViewError, match=said):
        View.parse(options)


def test_both_sides_of_a_comparison_are_selected_alike():
    assert b"main 8000" not in shown({"format": "folded", "focus": "cache"}, BASE)
    assert b"leak" not in shown({"format": "csv", "focus": "cache"}, BASE)


def test_kinds_of_frames_by_their_words():
    view = View.parse({"hide_kinds": "library,native"})
    assert view.hide_kinds == ("library", "native")
    assert set(HIDEABLE) == {"interpreter", "allocator", "library", "native"}


def test_recursion_is_folded_on_demand():
    whole = profile((5, "a a b"))
    view = View.parse({"format": "folded", "fold": "1"})
    assert b"b;a 5" in b"".join(render(view, whole, title=""))
    assert b"b;a;a 5" in b"".join(render(View(format="folded"), whole, title=""))


@pytest.mark.parametrize(("by", "needed"), [("function", False), ("thread", True)])
def test_threads_are_needed_for_what_tells_them_apart(by, needed):
    assert View.parse({"by": by}).needs_threads == needed


def test_a_page_has_a_policy_and_nothing_else_has():
    assert policy("flamegraph").startswith(f"{flamegraph.POLICY}; frame-ancestors")
    assert {policy(made) for made in FORMATS if made != "flamegraph"} == {""}


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("format", "nope"),
        ("format", "json"),
        ("by", "stack"),
        ("by", ""),
        ("value", "blocks"),
        ("limit", "0"),
        ("limit", "10001"),
        ("limit", "9" * 5000),
        ("limit", "-1"),
        ("limit", "٣"),
        ("focus", "("),
        ("ignore", "x" * 501),
        ("hide", "(?P<"),
        ("hide", "a{99999999999}"),
        ("hide_kinds", "library,nope"),
        ("fold", "yes"),
    ],
)
def test_what_is_not_possible_says_what_is(option, given):
    with pytest.raises(ViewError) as caught:
        View.parse({option: given})
    assert caught.value.option == option
    assert caught.value.remedy.startswith(("Give", "Write"))
    assert len(str(caught.value)) < 6000


def test_every_option_that_is_listed_is_parsed():
    others = {
        "by": "line",
        "value": "objects",
        "limit": "7",
        "focus": "a",
        "ignore": "b",
        "hide": "c",
        "hide_kinds": "library",
        "fold": "1",
    }
    assert set(others) == set(OPTIONS)
    default = View.parse({})
    for option, value in others.items():
        assert View.parse({option: value}) != default, option
    assert View.parse(others).focus == re.compile("a")
    assert set(BY) >= {"function", "line", "file", "package", "thread"}
