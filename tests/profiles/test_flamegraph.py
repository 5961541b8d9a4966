from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from endoscope_profiles import Frame, Profile, Sample, merge
from endoscope_profiles.coverage import statement, statement_of_diff
from endoscope_profiles.flamegraph import POLICY, write
from endoscope_profiles.origin import Origin

PAGE = resources.files("endoscope_profiles") / "flamegraph_page"
TOOLS = Path(__file__).parents[2] / "tools" / "flamegraph"

GET = Frame("Handler.get", "/srv/app/service.py", 41)
MAIN = Frame("main", "/srv/app/service.py", 7)
ZLIB = Frame("deflateInit2_", "/lib/x86_64-linux-gnu/libz.so.1")
PROFILE = Profile(
    (Sample((ZLIB, GET, MAIN), 4, 4000, 2, 250_000), Sample((GET, MAIN), 10, 1000, 9, 90_000)),
    524288,
    {"service": "router", "pid": "7", "resident_bytes": "50000"},
)
AMOUNTS = ("objects", "bytes", "objects_variance", "bytes_variance")
HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]>&amp;\"'`",
    "\ud800lone\udfff",
    "\x00\r\n\x1b[31m",
    "\u202egnp.exe\u2028",
    "{{data}}",
    "x" * 10_000,
]

hostile = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=())))
frames = st.builds(Frame, hostile, hostile, st.integers(0, 2**40))
stacks = st.lists(frames, min_size=1, max_size=6).map(tuple)
few = st.lists(st.sampled_from([GET, MAIN, ZLIB]), min_size=1, max_size=4).map(tuple)
amounts = st.floats(0, 1e300)
samples = st.builds(Sample, stacks, amounts, amounts, amounts, amounts)
profiles = st.builds(
    Profile,
    st.lists(samples, max_size=8).map(merge),
    st.just(524288),
    st.dictionaries(st.sampled_from(["service", "pid", "taken", "sees"]), hostile),
)


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text directly inside each kind."""

    def __init__(self, page):
        super().__init__()
        self.found, self.texts, self.comments = [], {}, []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")

    def handle_data(self, data):
        if self.found:
            self.texts[self.found[-1][0]][-1] += data

    def handle_comment(self, data):
        self.comments.append(data)


def page_of(profile, title="A heap", **more):
    return b"".join(write(profile, title=title, **more)).decode("utf-8", "strict")


def data_of(page):
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL
    )
    return json.loads(text)


def stacks_of(data, side="target"):
    """Return the stacks, innermost first, with their amounts, as a reader of the page has them."""
    columns = [data[f"{side}_{name}"] for name in AMOUNTS]
    nodes, path, held = iter(data["nodes"]), [], {}
    for kept, added, *numbers in zip(data["kept"], data["added"], *columns, strict=True):
        path = path[:kept] + list(itertools.islice(nodes, added))
        assert tuple(path[::-1]) not in held
        held[tuple(path[::-1])] = numbers
    assert not list(nodes)
    return held


def named(data, path):
    return tuple(
        Frame(
            data["strings"][data["functions"][frame]],
            data["strings"][data["files"][frame]],
            data["lines"][frame],
        )
        for frame in path
    )


def rows_of(page):
    """Return the cells of the tables' rows, without their elements, a list per table."""
    return [
        [
            [" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in row.split("</td><td>")]
            for row in re.findall(r"<tr>(<td>.*?</td>)</tr>", table, re.DOTALL)
        ]
        for table in re.findall("<table>.*?</table>", page, re.DOTALL)
    ]


# --- the data ---------------------------------------------------------------------------------


def test_the_data_is_the_profile():
    data = data_of(page_of(PROFILE))
    held = {named(data, path): numbers for path, numbers in stacks_of(data).items()}
    assert held == {(ZLIB, GET, MAIN): [4, 4000, 2, 250_000], (GET, MAIN): [10, 1000, 9, 90_000]}
    assert "base_bytes" not in data


def test_a_comparison_has_both_sides_of_every_stack():
    base = Profile((Sample((MAIN,), 5, 50, 1, 2), Sample((GET, MAIN), 10, 900, 9, 81)), 524288)
    data = data_of(page_of(PROFILE, base=base))
    sides = [
        {named(data, path): numbers for path, numbers in stacks_of(data, side).items()}
        for side in ("base", "target")
    ]
    nothing = [0, 0, 0, 0]
    assert sides[0] == {
        (MAIN,): [5, 50, 1, 2],
        (GET, MAIN): [10, 900, 9, 81],
        (ZLIB, GET, MAIN): nothing,
    }
    assert sides[1] == {
        (MAIN,): nothing,
        (GET, MAIN): [10, 1000, 9, 90_000],
        (ZLIB, GET, MAIN): [4, 4000, 2, 250_000],
    }


@given(profiles)
def test_no_name_changes_the_numbers(profile):
    held = stacks_of(data_of(page_of(profile)))
    assert sorted(held.values()) == sorted(
        [sample.objects, sample.bytes, sample.objects_variance, sample.bytes_variance]
        for sample in profile.samples
    )


@given(profiles, profiles)
def test_no_name_changes_the_numbers_of_a_comparison(base, target):
    data = data_of(page_of(target, base=base))
    for side, profile in (("base", base), ("target", target)):
        column = data[f"{side}_bytes"]
        assert sorted(filter(None, column)) == sorted(
            sample.bytes for sample in profile.samples if sample.bytes
        )


@given(st.lists(st.builds(Sample, few, amounts, amounts), max_size=20).map(merge))
def test_what_stacks_begin_with_alike_is_there_once(items):
    data = data_of(page_of(Profile(items, 1)))
    outermost_first = [sample.stack[::-1] for sample in items]
    beginnings = {path[:depth] for path in outermost_first for depth in range(1, len(path) + 1)}
    assert len(data["nodes"]) == len(beginnings)
    assert {named(data, path) for path in stacks_of(data)} == {sample.stack for sample in items}


def test_the_largest_line_and_an_error_without_bounds_are_numbers():
    frame = Frame("f", "x.py", 2**63)
    data = data_of(page_of(Profile((Sample((frame,), 1, 2, 3, float("inf")),), 2)))
    assert (data["lines"], data["target_bytes_variance"]) == ([2**63], [float("inf")])


# --- hostile names ----------------------------------------------------------------------------


@given(profiles, hostile)
@example(Profile((Sample(tuple(Frame(name, name, 1) for name in HOSTILE), 1, 1),), 1), HOSTILE[0])
def test_no_name_becomes_an_element(profile, title):
    found = Elements(page_of(profile, title=title))
    tags = {tag for tag, _ in found.found}
    assert tags <= {tag for tag, _ in Elements(page_of(PROFILE)).found} | {"p"}
    assert not [name for _, attributes in found.found for name in attributes if name[:2] == "on"]
    assert found.comments == []
    assert [tag for tag, _ in found.found].count("script") == 2


@given(profiles)
def test_the_page_holds_no_character_that_hides_another(profile):
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", page_of(profile)
    )


def test_a_lone_surrogate_is_shown_as_its_number():
    page = page_of(Profile((Sample((Frame("\udc80f", "a<b.py", 3),), 1, 1),), 1))
    assert r"\udc80f (a&lt;b.py:3)" in page
    assert data_of(page)["strings"] == [r"\udc80f", "a<b.py"]


def test_of_a_very_long_name_both_ends_are_shown():
    page = page_of(Profile((Sample((Frame("a" * 5000 + "b" * 5000),), 1, 1),), 1))
    (name, _) = data_of(page)["strings"]
    assert re.fullmatch(r"a{300}… \(9,400 more characters\) …b{300}", name)
    assert name in page.partition("<table>")[2]


# --- the policy -------------------------------------------------------------------------------


def hash_of(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def directives():
    return dict(directive.strip().split(" ", 1) for directive in POLICY.split(";"))


@pytest.mark.parametrize("profile", [PROFILE, Profile((), 1)])
def test_the_policy_lets_run_what_the_page_holds_and_nothing_else(profile):
    page = page_of(profile)
    elements = Elements(page)
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert directives()["script-src"] == " ".join(map(hash_of, script))
    assert directives()["style-src"] == " ".join(map(hash_of, style))
    assert (len(script), len(style)) == (1, 1)
    assert [a["content"] for t, a in elements.found if "http-equiv" in a] == [POLICY]


def test_everything_else_is_refused():
    assert directives()["default-src"] == "'none'"
    assert directives()["base-uri"] == directives()["form-action"] == "'none'"
    assert directives()["img-src"] == "data:"
    assert len(directives()) == 6


def test_the_page_asks_for_nothing():
    elements = Elements(page_of(PROFILE)).found
    links = [a[name] for _, a in elements for name in ("src", "href") if name in a]
    assert [link.partition(":")[0] for link in links] == ["data"]
    assert not [a for _, a in elements if "style" in a]


# --- what it says -----------------------------------------------------------------------------


def test_coverage_stands_above_everything():
    for page, lines in (
        (page_of(PROFILE), statement(PROFILE)),
        (page_of(PROFILE, base=PROFILE), statement_of_diff(PROFILE, PROFILE)),
    ):
        said = re.findall("<p>(.*)</p>", page.partition("<main>")[0])
        assert said == [line.replace("'", "&#x27;") for line in lines]


def test_the_biggest_stacks_stand_in_a_table():
    (rows,) = rows_of(page_of(PROFILE))
    place = "Handler.get (/srv/app/service.py:41) main (/srv/app/service.py:7)"
    library = "deflateInit2_ (/lib/x86_64-linux-gnu/libz.so.1)"
    assert rows == [
        ["1", "4.0 kB ± 500 B", "4 ± 1", "80.0%", f"{library} {library} {place}"],
        ["2", "1.0 kB ± 300 B", "10 ± 3", "20.0%", f"Handler.get (/srv/app/service.py:41) {place}"],
    ]


def test_a_table_says_what_it_leaves_out():
    many = [Sample((Frame(f"f{number}"),), 2, 1000, 4, 100) for number in range(116)]
    (rows,) = rows_of(page_of(Profile(merge(many), 1)))
    assert len(rows) == 101
    assert rows[-1] == ["", "16.0 kB ± 40 B", "32 ± 8", "13.8%", "16 more stacks, in all"]


def test_a_comparison_has_a_table_of_growth_and_one_of_what_shrank():
    before = {"same": (3, 300), "up": (1, 100), "down": (9, 900), "moved": (5, 100)}
    after = {"same": (3, 300), "up": (2, 400), "new": (1, 50), "down": (4, 400), "moved": (2, 200)}
    base, target = (
        Profile(merge(Sample((Frame(name),), *held, 8, 800) for name, held in side.items()), 1)
        for side in (before, after)
    )
    grown, shrunk = rows_of(page_of(target, base=base))
    assert [row[1:] for row in grown] == [
        ["+300 B ± 40 B", "+1 ± 4", "66.7%", "up up"],
        ["+100 B ± 40 B", "\N{MINUS SIGN}3 ± 4", "22.2%", "moved moved"],
        ["+50 B ± 28 B", "+1 ± 3", "11.1%", "new new"],
    ]
    assert [row[1:] for row in shrunk] == [
        ["\N{MINUS SIGN}500 B ± 40 B", "\N{MINUS SIGN}5 ± 4", "100.0%", "down down"]
    ]


def test_an_empty_profile_says_so_and_why():
    page = page_of(Profile((), 524288))
    assert "There is nothing to draw: there is no stack in it." in page
    assert "<table>" not in page
    assert data_of(page)["nodes"] == []


def test_two_equal_profiles_differ_in_nothing():
    page = page_of(PROFILE, base=PROFILE)
    assert "There is nothing to draw: every stack holds what it held in the base." in page
    assert "<table>" not in page


def test_a_profile_with_samples_does_not_say_that_it_is_empty():
    assert "There is nothing to draw" not in page_of(PROFILE)
    assert "There is nothing to draw" not in page_of(PROFILE, base=Profile((), 1))


# --- chunks -----------------------------------------------------------------------------------


@given(st.permutations(PROFILE.samples), st.booleans())
def test_the_same_profile_gives_the_same_page(items, compared):
    base = PROFILE if compared else None
    profile = Profile(merge(items), PROFILE.interval_bytes, PROFILE.facts)
    assert page_of(profile, base=base) == page_of(PROFILE, base=base)


def test_a_large_page_comes_in_chunks_of_moderate_size():
    deep = [tuple(Frame(f"f{a}.{b}", "x.py", b) for b in range(30)) for a in range(3000)]
    profile = Profile(merge(Sample(stack, 1.5, 10.5, 1.5, 1.5) for stack in deep), 1)
    chunks = list(write(profile, title="Large"))
    assert len(chunks) > 5
    assert max(map(len, chunks)) < 2**20
    assert len(data_of(b"".join(chunks).decode())["nodes"]) == 90_000


# --- whose code it is -------------------------------------------------------------------------


def test_every_frame_has_an_owner():
    frames = [GET, ZLIB, Frame("f", "/v/lib/python3.11/site-packages/jinja2/x.py", 9), Frame("[x]")]
    data = data_of(page_of(Profile((Sample(tuple(frames), 1, 1),), 1)))
    groups = [data["groups"][group][:2] for group in data["frame_groups"]]
    assert groups[::-1] == [  # the outermost is the first
        ["application", "/srv/app"],
        ["native", "libz.so.1"],
        ["package", "jinja2"],
        ["marker", "[x]"],
    ]


def test_a_file_has_the_same_shade_in_every_profile():
    other = Profile((Sample((MAIN, Frame("f", "/a.py", 1)), 1, 1),), 1)
    shades = [
        data["groups"][data["frame_groups"][data["functions"].index(data["strings"].index("main"))]]
        for data in map(data_of, (page_of(PROFILE), page_of(other)))
    ]
    assert shades[0] == shades[1]
    assert shades[0][2] in range(4)


# --- colours ----------------------------------------------------------------------------------


def luminance(colour):
    """WCAG 2.2, relative luminance of `#rrggbb`."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


COLOURS = {
    name: pair
    for name, *pair in re.findall(
        r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", (PAGE / "page.css").read_text("utf-8")
    )
}
FILLS = sorted(name for name in COLOURS if re.search(r"-\d$|^all$", name))
TEXTS = [
    *[("frame-text", fill) for fill in FILLS],
    *[(text, ground) for text in ("text", "quiet", "accent") for ground in ("page", "panel")],
    ("page", "accent"),
    ("match-text", "match"),
]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXTS)
def test_text_can_be_read_on_its_ground(text, ground, theme):
    assert contrast(COLOURS[text][theme], COLOURS[ground][theme]) >= 4.5


def test_every_kind_and_change_has_its_fills():
    kinds = [*(kind.name.lower() for kind in Origin), "grew", "shrank"]
    assert sorted(FILLS) == sorted(["all", *(f"{kind}-{n}" for kind in kinds for n in range(4))])


# --- the library ------------------------------------------------------------------------------


def test_the_bundle_is_the_one_that_was_vendored():
    vendored = PAGE / "vendored"
    sums = [line.split() for line in (vendored / "SHA256SUMS").read_text("ascii").splitlines()]
    assert [name for _, name in sums] == ["d3-flame-graph.min.js", "LICENSE"]
    for digest, name in sums:
        assert hashlib.sha256((vendored / name).read_bytes()).hexdigest() == digest


def test_the_licences_are_those_of_the_pinned_packages():
    locked = json.loads((TOOLS / "package-lock.json").read_text("utf-8"))["packages"]
    licences = (PAGE / "vendored" / "LICENSE").read_text("utf-8")
    bundled = dict(re.findall(r"^(d3-[\w-]+) ([\d.]+)$", licences, re.MULTILINE))
    assert "d3-flame-graph" in bundled
    assert bundled == {name: locked[f"node_modules/{name}"]["version"] for name in bundled}


def test_every_pinned_package_has_its_hash_and_no_address():
    lock = (TOOLS / "package-lock.json").read_text("utf-8")
    for name, package in json.loads(lock)["packages"].items():
        assert not name or package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name
