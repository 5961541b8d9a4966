import csv
import io
import re
from dataclasses import replace

import pytest

from endoscope_profiles import Frame, Profile
from endoscope_profiles.outliers import outliers
from endoscope_profiles.outliers_table import csv_text, data, lines
from made import profile

NAMES = [f"router_heap_dump_1795479593-{number}.prof" for number in range(4)]


def of(number, *more, **facts):
    facts = {
        "service": "shop",
        "pid": str(101 + number),
        "taken": f"2026-11-24T00:00:4{number}.123Z",
        "profiling_since": "2026-11-24T00:00:00Z",
        "profiler": "sampler",
        "resident_bytes": str(100_000_000 * (1 + 3 * bool(more))),
        **facts,
    }
    return profile((20_000_000 + number, "load handler main"), *more, **facts)


LEAK = (200_000_000, "leak open_stream handler main")
ODD = [(NAMES[0], of(0)), (NAMES[1], of(1, LEAK)), (NAMES[2], of(2)), (NAMES[3], of(3))]
ALIKE = [(name, of(number)) for number, name in enumerate(NAMES)]


def test_the_outlier_stands_first_and_is_marked():
    text = list(lines(outliers(ODD)))
    assert text[0] == (
        "4 processes of shop, dumped from 2026-11-24T00:00:40.123Z to 2026-11-24T00:00:43.123Z."
    )
    rows = [line for line in text if ".prof" in line]
    assert rows[0].split() == (
        f"! 102 00:00:41 400.0 MB 4.0 220.0 MB 14.8 kB 11.0 {NAMES[1]}".split()
    )
    assert [row.split()[0] for row in rows[1:]] == ["104", "103", "101"]
    assert any(line.startswith("1 stands out (!)") for line in text)
    assert any(line.startswith("Process 102 has 220.0 MB live, where") for line in text)
    assert re.sub(" +", " ", text[-1]) == " 200.0 MB 0 B +200.0 MB 14.1 kB leak /srv/leak.py"


def test_where_all_are_alike_there_is_nothing_but_the_table():
    text = list(lines(outliers(ALIKE)))
    assert any(line.startswith("None stands out") for line in text)
    assert text[-1].endswith(NAMES[0])
    assert not any(line.startswith("!") for line in text)


def test_it_fits_into_100_columns():
    long = "x" * 300
    dumps = [(f"{long}{name}", one) for name, one in ODD]
    dumps[1] = (dumps[1][0], of(1, (10**13, f"{long} {long}"), resident_bytes=str(10**16)))
    for by in ("function", "stack"):
        text = list(lines(outliers(dumps, by)))
        assert max(map(len, text)) == 100
        assert any(line.endswith(f"…x{NAMES[1]}") for line in text)


def test_of_a_long_place_the_function_and_the_end_remain():
    row = profile((10**9, "leak"), pid="9").samples[0]
    frame = Frame("Handler.get", "/very/long" * 20 + "/site-packages/shop/service.py", 1234)
    odd = Profile((replace(row, stack=(frame,)),), 524288, {"pid": "9"})
    *_, last = lines(outliers([*ALIKE[:3], ("odd.prof", odd)]))
    assert len(last) == 100
    assert "  Handler.get …" in last
    assert last.endswith("/site-packages/shop/service.py")


def test_stacks_are_shown_frame_by_frame_and_no_more_than_asked_for():
    deep = (90_000_000, " ".join(f"f{depth}" for depth in range(9)))
    found = outliers([*ODD[:1], (NAMES[1], of(1, LEAK, deep)), *ODD[2:]], "stack")
    text = [line.split()[-2:] for line in lines(found, limit=1) if "/srv/" in line]
    assert text == [[name, f"/srv/{name}.py:1"] for name in LEAK[1].split(" ")]
    assert any(line.strip() == "... 3 more" for line in lines(found))
    assert "By stack, 1 of 2 that surely hold more than elsewhere:" in lines(found, limit=1)


def test_one_that_holds_more_than_is_seen_says_so():
    dumps = [*ALIKE[:3], (NAMES[3], of(3, resident_bytes="900000000"))]
    text = list(lines(outliers(dumps)))
    assert text[-1].startswith("Its dump shows no place that surely holds more")
    assert "Process 104 has 900.0 MB resident, where its siblings' median is 100.0 MB." in text


def test_data_for_json():
    told = data(outliers(ODD), limit=1)
    first, second = told["processes"][:2]
    assert (first["pid"], first["dump"], first["outlier"]) == (102, NAMES[1], True)
    assert (first["live_bytes"], first["times_median"]) == (220_000_001, 11.0)
    assert (first["resident_bytes"], first["resident_times_median"]) == (400_000_000, 4.0)
    assert first["stands_out_by"] == ["live", "resident"]
    assert (second["outlier"], second["stands_out_by"]) == (False, [])
    (odd,) = told["outliers"]
    assert (odd["pid"], odd["excesses_in_all"]) == (102, 1)
    assert odd["excesses"] == [
        {
            "bytes": 200_000_000,
            "median_elsewhere": 0,
            "excess": 200_000_000,
            "excess_error": 14142,
            "frames": [{"function": "leak", "file": "/srv/leak.py", "line": None}],
        }
    ]


def test_what_is_not_known_is_empty():
    (row,) = data(outliers([("a.prof", profile((1, "f"), pid="x" * 30))]))["processes"]
    assert [row[name] for name in ("pid", "taken", "resident_bytes", "times_median")] == [None] * 4
    (row,) = [line for line in lines(outliers([("a.prof", profile())])) if "a.prof" in line]
    assert row.split() == ["?", "?", "?", "-", "0", "B", "0", "B", "-", "a.prof"]


def test_csv_has_a_row_for_each_process_and_below_an_outlier_what_it_holds_more():
    text = csv_text(outliers(ODD, "stack")).decode()
    head = [line for line in text.split("\r\n") if line.startswith("# ")]
    assert head[0].startswith("# 4 processes of shop")
    rows = list(csv.DictReader(io.StringIO(text.split("\r\n", len(head))[-1], newline="")))
    assert [(row["pid"], row["outlier"]) for row in rows] == [
        ("102", "True"),
        ("102", ""),
        ("104", "False"),
        ("103", "False"),
        ("101", "False"),
    ]
    assert rows[1]["stack"].splitlines()[0] == "leak /srv/leak.py:1"
    assert (rows[1]["bytes"], rows[1]["median_elsewhere"]) == ("200000000", "0")


@pytest.mark.parametrize("hostile", ["=1+1", "@x"])
def test_no_spreadsheet_takes_a_text_for_a_formula(hostile):
    dumps = [*ODD[:1], (NAMES[1], of(1, (10**9, hostile), taken=hostile)), *ODD[2:]]
    assert csv_text(outliers(dumps)).decode().count(f"'{hostile}") == 2


def test_a_terminal_is_told_nothing():
    dumps = [*ODD[:1], ("\x1b[31m", of(1, (10**9, "a\x07b"), pid="\x1b", taken="T\x1b")), *ODD[2:]]
    assert all(line.isprintable() for line in lines(outliers(dumps)))
