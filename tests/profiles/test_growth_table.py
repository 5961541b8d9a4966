import csv
import io
import json

from endoscope_profiles.growth import ONLY_ONE, growth
from endoscope_profiles.growth_table import csv_text, data, lines
from made import profile


def dump(minute, *rows, **facts):
    known = {"service": "shop", "pid": "7", "resident_bytes": "4000000"}
    return profile(*rows, taken=f"2026-11-24T00:{minute:02}:00Z", **known, **facts)


GREW = growth(
    [
        dump(m, (100_000 * m + 1000, "leak f g h i j k l"), (10_000 * m, "=slow"), (5, "cache"))
        for m in range(3)
    ]
)


def test_text_names_the_suspects_with_their_slope():
    text = "\n".join(lines(GREW))
    assert text.startswith(
        "Growth of shop (pid 7) over 3 dumps, from 2026-11-24T00:00:00Z to 2026-11-24T00:02:00Z."
    )
    assert "First: Live: 1.0 kB ± 32 B in" in text
    assert "Last: Live: 221.0 kB ± 470 B in" in text
    assert "6% of the 4.0 MB of resident memory" in text
    assert "The 2 suspects with the most growth, of 2:" in text
    assert (
        "  1. +200.0 kB ± 449 B, 6.0 MB ± 13.5 kB per hour; grew in 2 of 2 intervals; "
        "confidence over 99.9%\n       leak  /srv/leak.py:1\n" in text
    )
    assert "       ... 2 more" in text
    assert "cache" not in text


def test_the_limit_is_kept_and_told():
    text = "\n".join(lines(GREW, limit=1))
    assert "The 1 suspects with the most growth, of 2:" in text
    assert "slow" not in text


def test_nothing_grew():
    assert list(lines(growth([dump(0), dump(1)])))[-1].startswith("No stack grew")
    assert ONLY_ONE in list(lines(growth([dump(0)])))


def test_data_is_json():
    told = json.loads(json.dumps(data(GREW, limit=1)))
    assert [each["live_bytes"] for each in told["dumps"]] == [1005, 111005, 221005]
    assert told["suspects_in_all"] == 2
    (suspect,) = told["suspects"]
    assert suspect["bytes"] == [1000, 101000, 201000]
    assert suspect["frames"][0] == {"function": "leak", "file": "/srv/leak.py", "line": 1}
    assert (suspect["growth_bytes"], suspect["bytes_per_hour"]) == (200_000, 6_000_000)


def test_csv_has_all_suspects():
    text = csv_text(GREW).decode()
    rows = [line for line in io.StringIO(text, newline="") if not line.startswith("# ")]
    leak, slow = csv.DictReader(rows)
    assert leak["growth_bytes"] == "200000"
    assert leak["stack"].splitlines()[0] == "leak  /srv/leak.py:1"
    assert slow["stack"].startswith("'=slow")
