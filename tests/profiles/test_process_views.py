import gzip
import json

import pytest

from endoscope_profiles import pprof, process_views
from endoscope_profiles.process_views import (
    OUTLIER_FORMATS,
    parse_merged,
    parse_outliers,
    render_merged,
    render_outliers,
)
from endoscope_profiles.views import FORMATS, ViewError
from made import profile

PARTS = [
    profile((30, "leak main"), (5, "cache main"), pid="7", service="shop"),
    profile((10, "leak main"), (5, "cache main"), pid="8", service="shop"),
]


def merged(**options):
    written = b"".join(render_merged(parse_merged(options), iter(PARTS), title="all of them"))
    return gzip.decompress(written) if options.get("format") == "pprof" else written


@pytest.mark.parametrize("made", FORMATS)
def test_every_format_shows_the_sum_and_by_process_whose_it_is(made):
    assert b"leak" in merged(format=made)
    assert b"process 7" not in merged(format=made)
    told_apart = merged(format=made, by="process")
    assert b"process 7" in told_apart
    assert b"process 8" in told_apart


def test_the_numbers_are_sums():
    assert merged(format="folded") == b"main;leak 40\nmain;cache 10\n"
    assert merged(format="folded", by="process") == (
        b"[process 7];main;leak 30\n[process 8];main;leak 10\n"
        b"[process 7];main;cache 5\n[process 8];main;cache 5\n"
    )
    assert pprof.parse(merged(format="pprof")).bytes == 50
    rows = [
        line.split() for line in merged(by="process").decode().splitlines() if " process " in line
    ]
    assert [(row[0], row[-1]) for row in rows[-2:]] == [("35", "7"), ("15", "8")]


def test_options_are_those_of_one_profile():
    assert merged(format="folded", focus="cache") == b"main;cache 10\n"
    assert merged(format="folded", by="process", focus="process 8", ignore="cache") == (
        b"[process 8];main;leak 10\n"
    )
    assert b"main.py" in merged(format="folded", by="line")
    with pytest.raises(ViewError, match="heeds no by"):
        parse_merged({"format": "flamegraph", "by": "line"})
    with pytest.raises(ViewError, match="by='stack'"):
        parse_merged({"by": "stack"})


def test_it_says_what_it_covers():
    assert b"Heap of shop, 2 processes (pids 7, 8) added up," in merged()
    assert b"Shown is what these options leave, 10 B" in merged(focus="cache")


def test_the_smallest_of_very_many_stacks_are_not_told_apart(monkeypatch):
    monkeypatch.setattr(process_views, "MOST_STACKS", 2)
    assert merged(format="folded", by="process") == (
        b"[process 7];main;leak 30\n[process 8];main;leak 10\n"
        b"[process 7];[smaller stacks] 5\n[process 8];[smaller stacks] 5\n"
    )
    assert b"Of 4 stacks the 2 smallest are not told apart." in merged(by="process")
    assert b"not told apart" not in merged()


@pytest.mark.parametrize("made", OUTLIER_FORMATS)
def test_every_format_of_outliers_names_the_process(made):
    dumps = [(f"{number}.prof", one) for number, one in enumerate([*PARTS, PARTS[1]])]
    assert b"0.prof" in render_outliers(parse_outliers({"format": made}), iter(dumps))


def test_outliers_heed_what_is_left_out():
    dumps = [(f"{number}.prof", one) for number, one in enumerate([PARTS[1], PARTS[1], PARTS[0]])]
    told = json.loads(render_outliers(parse_outliers({"focus": "leak"}), dumps))
    assert [row["live_bytes"] for row in told["processes"]] == [30, 10, 10]
    assert told["notes"][0].startswith("Shown is what these options leave, 50 B")
    with pytest.raises(ViewError, match="by='thread'"):
        parse_outliers({"by": "thread"})
    with pytest.raises(ViewError, match="heeds no limit"):
        parse_outliers({"format": "csv", "limit": "3"})
