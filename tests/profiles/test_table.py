import pytest

from endoscope_profiles import Frame, Profile, Sample
from endoscope_profiles.coverage import statement, statement_of_diff
from endoscope_profiles.table import lines, place
from made import profile

WHOLE = profile((3_000_000, "alloc get main"), (1_000_000, "put main"))


def rows(text):
    """Return the table's rows as cells."""
    table = list(text)
    head = next(n for n, line in enumerate(table) if "with callees" in line)
    return [[cell for cell in line.split("  ") if cell.strip()] for line in table[head + 1 :]]


def stripped(text):
    return [[cell.strip() for cell in row] for row in rows(text)]


def test_the_table():
    assert stripped(lines(WHOLE)) == [
        ["3.0 MB", "1.7 kB", "75.0%", "75.0%", "3.0 MB", "75.0%", "alloc", "/srv/alloc.py"],
        ["1.0 MB", "1.0 kB", "25.0%", "100.0%", "1.0 MB", "25.0%", "put", "/srv/put.py"],
        ["0 B", "0 B", "0.0%", "100.0%", "4.0 MB", "100.0%", "main", "/srv/main.py"],
        ["0 B", "0 B", "0.0%", "100.0%", "3.0 MB", "75.0%", "get", "/srv/get.py"],
    ]


def test_the_coverage_comes_first():
    assert tuple(lines(WHOLE))[:4] == statement(WHOLE)
    base = profile((1, "x"))
    said = statement_of_diff(base, WHOLE)
    assert tuple(lines(WHOLE, base=base))[: len(said)] == said


def test_growth_has_its_sign():
    base = profile((1_000_000, "alloc get main"), (2_000_000, "gone main"))
    table = stripped(lines(WHOLE, base=base))
    assert [(row[0], row[2], row[4], row[6]) for row in table] == [
        ("+2.0 MB", "66.7%", "+2.0 MB", "alloc"),
        ("+1.0 MB", "33.3%", "+1.0 MB", "put"),
        ("0 B", "0.0%", "+2.0 MB", "get"),
        ("0 B", "0.0%", "+1.0 MB", "main"),
        ("-2.0 MB", "100.0%", "-2.0 MB", "gone"),
    ]


def test_objects_are_ordered_by_themselves():
    few_big = Sample((Frame("big"),), 2, 9000.0)
    many_small = Sample((Frame("small"),), 5000, 100.0)
    whole = Profile((few_big, many_small), 1)
    assert [row[-1].strip() for row in rows(lines(whole))] == ["big", "small"]
    assert stripped(lines(whole, objects=True))[0][0] == "5,000"
    assert [row[-1].strip() for row in rows(lines(whole, objects=True))] == ["small", "big"]


@pytest.mark.parametrize(
    ("limit", "title"),
    [(1, "The 1 functions of 4 by the bytes"), (4, "All functions of 4 by the bytes")],
)
def test_the_title_says_how_many_there_are(limit, title):
    assert any(line.startswith(title) for line in lines(WHOLE, limit=limit))
    assert len(rows(lines(WHOLE, limit=limit))) == limit


def test_an_empty_profile_has_an_empty_table():
    assert rows(lines(profile())) == []


def test_what_would_break_the_table_is_escaped():
    assert place(Frame("a\nb\x1b[31m", "x.py", 3)) == "a\\u000ab\\u001b[31m  x.py:3"


def test_processes_are_written_as_they_should_be():
    assert any(line.startswith("All processes of 1 by") for line in lines(WHOLE, by="process"))
