"""The flame graph in a browser: what it shows, and that it asks for nothing."""

from __future__ import annotations

import http.server
import re
import threading
from types import SimpleNamespace

import pytest

from endoscope_profiles import Frame, Profile, Sample, merge
from endoscope_profiles.flamegraph import POLICY, write

MINUS = "\N{MINUS SIGN}"
SITE = "/srv/venv/lib/python3.11/site-packages"

MAIN = Frame("main", "/srv/shop/app.py", 3)
VISIT_5 = Frame("visit", "/srv/shop/views.py", 5)
VISIT_9 = Frame("visit", "/srv/shop/views.py", 9)
RENDER = Frame("render", f"{SITE}/jinja2/environment.py", 8)
LOADS = Frame("loads", "/usr/lib/python3.11/json/__init__.py", 346)
DEFLATE = Frame("deflateInit2_", "/lib/libz.so.1")
# 12 MB in all: main holds 1 MB itself.
HELD = [
    Sample((RENDER, VISIT_5, MAIN), 10, 6_000_000, 9, 1e12),
    Sample((LOADS, VISIT_9, MAIN), 70, 3_000_000, 16, 4e10),
    Sample((LOADS, RENDER, VISIT_5, MAIN), 15, 1_500_000, 1, 1e10),
    Sample((DEFLATE, MAIN), 4, 500_000, 1, 1e10),
    Sample((MAIN,), 1, 1_000_000, 1, 1e10),
]
PROFILE = Profile(merge(HELD), 524288, {"service": "shop", "pid": "7"})
BASE = Profile(
    merge(
        [
            Sample((RENDER, VISIT_5, MAIN), 5, 2_000_000, 4, 1e10),
            Sample((LOADS, VISIT_9, MAIN), 70, 2_900_000, 16, 4e10),
            Sample((LOADS, RENDER, VISIT_5, MAIN), 15, 1_500_000, 1, 1e10),
            Sample((DEFLATE, MAIN), 8, 1_500_000, 1, 1e10),
            Sample((MAIN,), 1, 1_000_000, 1, 1e10),
        ]
    ),
    524288,
    {"service": "shop", "pid": "7"},
)


class Page:
    """A page that is open, and what a user sees and does there."""

    def __init__(self, page, url):
        self.page = page
        self.complaints, self.requests = [], []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(url)

    def frames(self):
        """Return the drawn frames' places by name: left edge, width and row in pixels."""
        drawn = self.page.eval_on_selector_all(
            "#chart g",
            """all => all.map(g => {
                const box = g.querySelector('rect').getBoundingClientRect();
                return [g.querySelector('div').textContent, box.x, box.width, box.y];
            })""",
        )
        return {
            label.partition("  ")[0]: SimpleNamespace(left=x, width=width, top=y, label=label)
            for label, x, width, y in drawn
        }

    def widths(self):
        """Return the frames' widths as shares of the chart's, in percent."""
        whole = self.page.evaluate("document.getElementById('chart').clientWidth")
        return {name: round(100 * frame.width / whole, 1) for name, frame in self.frames().items()}

    def frame(self, name):
        return self.page.locator(f'#chart g[aria-label^="{name},"]')

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def search(self, term):
        self.press("/")
        self.page.keyboard.type(term)
        return self.text("found")

    def text(self, name):
        return self.page.inner_text(f"#{name}")

    def details(self):
        return [self.text(name) for name in ("what", "amounts", "more")]

    def focused(self):
        return self.page.evaluate("document.activeElement.getAttribute('aria-label') ?? ''")

    def matches(self):
        return self.page.locator("#chart g[data-match] div").all_inner_texts()


@pytest.fixture
def open_page(browser, tmp_path):
    """Open the page of a profile; whatever it complains of or asks for fails the test."""
    opened = []

    def open_it(profile, *, base=None, **how):
        file = tmp_path / f"page-{len(opened)}.html"
        file.write_bytes(b"".join(write(profile, title="Shop", base=base)))
        how = {"viewport": {"width": 1280, "height": 900}, **how}
        page = Page(browser.new_page(**how), file.as_uri())
        opened.append((page, file.as_uri()))
        return page

    yield open_it
    for page, url in opened:
        page.page.close()
        assert page.complaints == []
        assert page.requests == [url]


@pytest.fixture
def served():
    """Serve a page with its policy as a header, as diagnostics do; `asked` has the paths."""
    pages, asked = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            for chunk in pages[0]:
                self.wfile.write(chunk)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/flamegraph"
    yield SimpleNamespace(page=lambda chunks: pages.append(chunks) or url, asked=asked)
    server.shutdown()
    thread.join()
    server.server_close()


# --- what is drawn ----------------------------------------------------------------------------


def test_width_is_what_a_frame_holds(open_page):
    page = open_page(PROFILE)
    widths = page.widths()
    assert (widths["all"], widths["main"]) == (100, 100)
    assert widths["visit"] == pytest.approx(87.5, abs=0.2)
    assert widths["render"] == pytest.approx(62.5, abs=0.2)
    assert widths["deflateInit2_"] == pytest.approx(4.2, abs=0.2)
    assert page.frames()["visit"].label == "visit  10.5 MB"


def test_over_http_the_policy_is_a_header_too(browser, served):
    page = Page(browser.new_page(), served.page(list(write(PROFILE, title="Shop"))))
    assert "visit" in page.frames()
    page.frame("visit").click()
    assert page.widths()["visit"] == 100
    page.page.close()
    assert (page.complaints, served.asked) == ([], ["/flamegraph"])


def test_the_policy_stops_a_script_that_is_not_the_page_s(browser, served):
    text = b"".join(write(PROFILE, title="Shop")).decode()
    intruder = "<script>document.title = 'taken over'</script><img src=x onerror='alert(1)'>"
    page = Page(browser.new_page(), served.page([text.replace("<main>", intruder).encode()]))
    assert page.page.title() == "Shop"
    assert "visit" in page.frames()
    assert len([text for text in page.complaints if "Content Security Policy" in text]) >= 2
    page.page.close()
    assert served.asked == ["/flamegraph"]


def test_names_are_text_and_nothing_else(open_page):
    names = ["</script><img src=x onerror=alert(1)>", "<b>bold</b>", "\ud800", "x" * 10_000]
    stack = tuple(Frame(name, f"{name}.py", 1) for name in names)
    page = open_page(Profile((Sample(stack, 1, 1000),), 1))
    assert set(names[:2]) < set(page.frames())
    assert page.page.locator("img, b").count() == 0
    page.frame("<b>bold</b>").hover()
    assert page.details()[0].startswith("<b>bold</b> <b>bold</b>.py")
    assert page.search("</script>").startswith("1 function matches")


def test_colours_tell_whose_code_it_is(open_page):
    page = open_page(PROFILE)
    fills = page.page.eval_on_selector_all(
        "#chart g", "all => all.map(g => getComputedStyle(g.querySelector('rect')).fill)"
    )
    by_name = dict(zip(page.frames(), fills, strict=False))
    assert len({by_name[name] for name in ("main", "render", "loads", "deflateInit2_")}) == 4
    assert page.page.locator("#legend li").all_inner_texts() == [
        "Application: 8.3% of bytes",
        "Installed packages: 50.0% of bytes",
        "Standard library: 37.5% of bytes",
        "Native code: 4.2% of bytes",
    ]


# --- other views of it ------------------------------------------------------------------------


def test_callees_first_begins_where_memory_is_allocated(open_page):
    page = open_page(PROFILE)
    rows = page.frames()
    assert rows["main"].top < rows["visit"].top < rows["loads"].top
    page.press("i")
    rows, widths = page.frames(), page.widths()
    first = {name for name, frame in rows.items() if frame.top == rows["deflateInit2_"].top}
    assert first >= {"loads", "deflateInit2_"}
    assert widths["deflateInit2_"] == pytest.approx(4.2, abs=0.2)
    labels = page.page.locator('#chart g[aria-level="2"]').all_text_contents()
    assert labels == [
        "render  6.0 MB",
        "loads  4.5 MB",
        "main  1.0 MB",
        "deflateInit2_  500.0 kB",
    ]


def test_lines_of_a_function_are_one_frame_or_several(open_page):
    page = open_page(PROFILE)
    assert [name for name in page.frames() if name.startswith("visit")] == ["visit"]
    page.press("l")
    frames = page.frames()
    assert "visit" not in frames
    assert frames["visit (views.py:5)"].label.endswith("7.5 MB")
    assert frames["visit (views.py:9)"].label.endswith("3.0 MB")


def test_objects_are_another_measure(open_page):
    page = open_page(PROFILE)
    page.press("o")
    frames, widths = page.frames(), page.widths()
    assert frames["all"].label == "all  100"
    assert widths["deflateInit2_"] == pytest.approx(4, abs=0.2)
    assert widths["visit"] == pytest.approx(95, abs=0.2)
    page.frame("visit").hover()
    assert page.details()[1] == "95 ± 5 objects · 10.5 MB ± 1.0 MB · 95.0% of all objects"


def test_flames_stand_on_the_root(open_page):
    page = open_page(PROFILE)
    page.press("d")
    rows = page.frames()
    assert rows["all"].top > rows["main"].top > rows["visit"].top


# --- numbers ----------------------------------------------------------------------------------


def test_details_have_numbers_with_their_errors(open_page):
    page = open_page(PROFILE)
    assert page.details()[1] == "12.0 MB ± 1.0 MB · 100 ± 5 objects · 100.0% of all bytes"
    page.frame("render").hover()
    assert page.details() == [
        f"render {SITE}/jinja2/environment.py (Installed packages: jinja2)",
        "7.5 MB ± 1.0 MB · 25 ± 3 objects · 62.5% of all bytes",
        "allocated in the frame itself: 6.0 MB ± 1.0 MB · 50.0% of all bytes",
    ]


def test_a_search_counts_every_stack_once(open_page):
    page = open_page(PROFILE)
    found = page.search("RENDER")
    assert found.startswith("1 function matches: stacks through them hold 7.5 MB ± 1.0 MB, 62.5%")
    assert page.matches() == ["render  7.5 MB"]
    page.press("Escape")
    assert page.text("found") == ""
    assert page.matches() == []
    # Both functions are in the stack of 1.5 MB.
    page.page.check("#regular")
    assert "10.5 MB" in page.search("^(render|loads) ")
    assert len(page.matches()) == 3


def test_a_pattern_that_is_none_is_told(open_page):
    page = open_page(PROFILE)
    page.page.check("#regular")
    assert "Invalid regular expression" in page.search("(")
    assert page.page.get_attribute("#term", "aria-invalid") == "true"
    page.page.keyboard.type("main)")
    assert page.text("found").startswith("1 function matches")
    assert page.page.get_attribute("#term", "aria-invalid") is None


def test_what_matches_nothing_says_so(open_page):
    assert open_page(PROFILE).search("nowhere") == "No frame matches."


# --- zoom and keys ----------------------------------------------------------------------------


def test_a_click_zooms_and_the_button_resets(open_page):
    page = open_page(PROFILE)
    assert page.page.is_disabled("#reset")
    page.frame("render").click()
    widths = page.widths()
    assert widths["render"] == widths["visit"] == widths["all"] == 100
    assert widths["loads"] == pytest.approx(20, abs=0.2)
    assert "deflateInit2_" not in widths
    page.page.click("#reset")
    assert "deflateInit2_" in page.widths()
    assert page.page.is_disabled("#reset")


def test_a_zoom_stays_when_the_measure_changes(open_page):
    page = open_page(PROFILE)
    page.frame("render").click()
    page.press("o")
    assert page.widths()["render"] == 100
    assert page.widths()["loads"] == pytest.approx(60, abs=0.2)


def test_everything_can_be_reached_with_keys(open_page):
    page = open_page(PROFILE)
    seen = []
    for key in ("Home", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"):
        page.press(key)
        seen.append(page.focused().partition(",")[0])
    assert seen == ["all", "main", "visit", "render", "loads", "visit"]
    page.press("ArrowRight")
    assert page.focused().startswith(
        "deflateInit2_, /lib/libz.so.1 (Native code: libz.so.1), 500.0"
    )
    page.press("ArrowRight", "ArrowLeft")
    assert page.details()[0].startswith("visit /srv/shop/views.py")
    page.press("Enter")
    assert page.widths()["visit"] == 100
    assert page.focused().startswith("visit,")
    page.press("Backspace", "Backspace", "Backspace")
    assert page.widths()["visit"] == pytest.approx(87.5, abs=0.2)
    page.press("ArrowDown", "Enter", "Escape")
    assert page.focused().startswith("all,")
    assert page.widths()["visit"] == pytest.approx(87.5, abs=0.2)


def test_one_frame_is_a_stop_for_tab_and_focus_can_be_seen(open_page):
    page = open_page(PROFILE)
    page.press("Home", "ArrowDown")
    assert page.page.locator('#chart g[tabindex="0"]').count() == 1
    stroke = "getComputedStyle(document.activeElement.querySelector('rect')).strokeWidth"
    assert page.page.evaluate(stroke) == "3px"


def test_keys_go_from_match_to_match(open_page):
    page = open_page(PROFILE)
    page.search("json")
    page.press("Enter")
    seen = {page.focused()}
    page.press("n")
    seen.add(page.focused())
    assert len(seen) == 2
    assert all(label.startswith("loads,") for label in seen)
    page.press("N")
    assert page.focused() in seen


def test_the_keys_are_on_the_page(open_page):
    page = open_page(PROFILE)
    assert not page.page.is_visible("#help")
    page.press("?")
    assert page.page.is_visible("#help")
    shown = page.page.locator("#help div:visible kbd").all_inner_texts()
    assert set("↑↓←→/nNilodt?") < set(shown)
    assert "g" not in shown  # there is nothing to compare
    page.page.click("#keys")
    assert not page.page.is_visible("#help")


def test_what_is_typed_into_the_search_is_no_command(open_page):
    page = open_page(PROFILE)
    page.search("diol?")
    assert page.page.input_value("#term") == "diol?"
    assert page.page.is_checked("input[value=callers]")
    assert not page.page.is_visible("#help")


# --- comparisons ------------------------------------------------------------------------------


def test_a_comparison_shows_what_grew(open_page):
    page = open_page(PROFILE, base=BASE)
    frames = page.frames()
    assert frames["render"].label == "render  +4.0 MB"
    assert frames["main"].label == "main  +3.1 MB"  # with what shrank in it
    assert page.widths()["render"] == pytest.approx(100 * 4 / 4.1, abs=0.2)
    assert "deflateInit2_" not in frames
    page.frame("render").hover()
    assert page.details()[1:] == [
        "+4.0 MB ± 1.0 MB · +5 ± 4 objects · 4.0 MB grew in it, 97.6% of all that grew",
        "base 3.5 MB ± 141.4 kB · target 7.5 MB ± 1.0 MB · grew: doubled, or new",
    ]


def test_growth_within_the_error_is_told_from_growth(open_page):
    page = open_page(PROFILE, base=BASE)
    page.frame("loads").hover()
    assert page.details()[2].endswith("grew: may be chance (within twice the error)")
    fills = [
        page.frame(name).locator("rect").get_attribute("fill")
        for name in ("loads", "render", "all")
    ]
    assert fills == ["var(--grew-0)", "var(--grew-3)", "var(--grew-2)"]


def test_by_a_switch_it_shows_what_shrank(open_page):
    page = open_page(PROFILE, base=BASE)
    page.press("g")
    frames = page.frames()
    assert set(frames) == {"all", "main", "deflateInit2_"}
    assert frames["deflateInit2_"].label == f"deflateInit2_  {MINUS}1.0 MB"
    assert frames["main"].label == "main  +3.1 MB"
    fills = [page.frame(name).locator("rect").get_attribute("fill") for name in frames]
    assert sorted(fills) == ["var(--all)", "var(--all)", "var(--shrank-2)"]
    assert all("shrank" in text for text in page.page.locator("#legend li").all_inner_texts())


def test_where_nothing_shrank_it_says_so(open_page):
    page = open_page(PROFILE, base=Profile((), 524288))
    assert page.frames()["all"].label == "all  +12.0 MB"
    page.press("g")
    assert page.text("drawn") == "Nothing shrank here."


# --- all sizes and surroundings ---------------------------------------------------------------


@pytest.fixture(scope="module")
def large():
    """Return a profile of 5,000 stacks and 100,000 frames, most of them narrower than a pixel."""
    top = [Frame(f"step{depth}", "/srv/shop/steps.py", depth + 1) for depth in range(5)]
    samples = []
    for number in range(5000):
        own = [Frame(f"f{number}_{depth}", "/srv/shop/many.py", depth + 1) for depth in range(20)]
        samples.append(Sample((*own, *reversed(top)), 1, 1e9 / (number + 1), 1, 1e8))
    return Profile(merge(samples), 1)


def test_of_a_large_profile_what_can_be_seen_is_drawn(open_page, large):
    page = open_page(large)
    drawn = page.page.locator("#chart g").count()
    assert 500 < drawn <= 4000
    left_out = re.fullmatch(
        r"Frames drawn: ([\d,]+)\. Narrower than .*: ([\d,]+) \((.*), (.*)% of all\), gathered .*",
        page.text("drawn"),
    )
    assert int(left_out[1].replace(",", "")) == drawn
    assert int(left_out[2].replace(",", "")) > 4000
    assert 20 < float(left_out[4]) < 70


def test_what_is_too_narrow_is_gathered_and_can_be_zoomed_into(open_page, large):
    page = open_page(large)
    gathered = page.page.locator('#chart g rect[fill="url(#gathered)"]')
    assert gathered.count() == 1
    count = int(re.search(r"pixels: ([\d,]+)", page.text("drawn"))[1].replace(",", ""))
    gathered.click()
    assert page.details()[0].startswith(f"{count:,} narrower frames")
    names = set(page.frames())
    assert f"f{5000 - count}_19" in names
    assert "f0_19" not in names
    page.press("Escape")
    assert "f0_19" in page.frames()


def test_callees_first_of_a_large_profile(open_page, large):
    page = open_page(large)
    page.press("i", "l")
    assert 500 < page.page.locator("#chart g").count() <= 4000
    assert page.frames()["f0_0 (many.py:1)"].label.endswith("1.0 GB")


def test_a_narrow_window_is_filled_and_not_overrun(open_page):
    page = open_page(PROFILE, viewport={"width": 600, "height": 800})
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 600
    assert page.frames()["all"].width > 550
    page.page.set_viewport_size({"width": 1000, "height": 800})
    # Not by `wait_for_function`, which the page's policy forbids.
    for _ in range(500):
        if page.frames()["all"].width > 900:
            break
        page.page.wait_for_timeout(20)
    assert page.frames()["all"].width > 900


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_system_s_until_another_is_chosen(open_page, scheme):
    page = open_page(PROFILE, color_scheme=scheme)
    seen = []
    for _ in range(3):
        seen.append(page.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.press("t")
    light, dark = "rgb(255, 255, 255)", "rgb(22, 24, 27)"
    assert seen == [{"light": light, "dark": dark}[scheme], light, dark]
    assert page.text("theme") == "Theme: automatic"


def test_on_paper_there_are_no_buttons_and_no_dark_ground(open_page):
    page = open_page(PROFILE, color_scheme="dark")
    page.page.emulate_media(media="print")
    assert not page.page.is_visible("#tools")
    assert page.page.is_visible("#chart svg")
    assert page.page.is_visible("#stacks table")
    paper = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"


def test_without_javascript_the_table_remains(open_page):
    page = open_page(PROFILE, java_script_enabled=False)
    assert "The graph needs JavaScript." in page.page.inner_text("main")
    assert not page.page.is_visible("#graph")
    assert page.page.locator("#stacks tbody tr").count() == 5
    page.page.click("#stacks summary >> nth=0")
    assert "visit (/srv/shop/views.py:5)" in page.page.inner_text("#stacks ol >> nth=0")


def test_an_empty_profile_has_no_graph(open_page):
    page = open_page(Profile((), 524288))
    assert "there is no stack in it" in page.page.inner_text("main")
    assert not page.page.is_visible("#graph")
