import csv
import io

import pytest
from hypothesis import given

from endoscope_profiles import Frame, Profile, Sample
from endoscope_profiles.aggregate import aggregate
from endoscope_profiles.coverage import statement
from endoscope_profiles.csv_table import COLUMNS, write
from made import PROFILES, profile


def read(chunks):
    """Return the lines of the statement, and the rows as dictionaries."""
    text = b"".join(chunks).decode()
    said = [line for line in text.splitlines() if line.startswith("# ")]
    rest = "".join(line for line in io.StringIO(text, newline="") if not line.startswith("# "))
    return said, list(csv.DictReader(io.StringIO(rest, newline="")))


def test_every_row_is_there_with_all_of_its_numbers():
    whole = profile((900, "alloc main"), (100, "put main"), service="shop")
    said, rows = read(write(whole))
    assert said == [f"# {line}" for line in statement(whole)]
    assert list(rows[0]) == list(COLUMNS)
    assert rows[0] == {
        "function": "alloc",
        "file": "/srv/alloc.py",
        "line": "",
        "bytes": "900",
        "bytes_error": "30",
        "objects": "900",
        "objects_error": "30",
        "total_bytes": "900",
        "total_bytes_error": "30",
        "total_objects": "900",
        "total_objects_error": "30",
    }
    assert [row["function"] for row in rows] == ["alloc", "put", "main"]


def test_growth_is_signed():
    _, rows = read(write(profile((1, "a")), base=profile((5, "a"))))
    assert (rows[0]["bytes"], rows[0]["total_objects"]) == ("-4", "-4")


@pytest.mark.parametrize("name", ["=cmd()", "+0x12", "-x", "@x", "\tx"])
def test_no_name_is_a_formula(name):
    _, (row,) = read(write(Profile((Sample((Frame(name),), 1, 1),), 1)))
    assert row["function"] == f"'{name}"


@given(PROFILES)
def test_as_many_rows_as_places(whole):
    _, rows = read(write(whole, by="line"))
    assert [row["line"] for row in rows] == [str(r.place.line) for r in aggregate(whole, "line")]
