from __future__ import annotations

import pytest

from endoscope import BadRequestError
from endoscope_export.selection import Selection, parse_selection

NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z


def test_nothing_asked_takes_everything():
    assert parse_selection({}, NOW).takes("memory")


def test_only_takes_the_named_groups():
    selection = parse_selection({"only": "memory, config"}, NOW)
    assert selection == Selection(frozenset({"memory", "config"}))
    assert [selection.takes(g) for g in ("memory", "config", "binary")] == [True, True, False]


def test_without_wins_over_only():
    selection = parse_selection({"only": "memory,config", "without": "memory"}, NOW)
    assert not selection.takes("memory")
    assert selection.takes("config")


@pytest.mark.parametrize("text", ["", ",", " , "])
@pytest.mark.parametrize("parameter", ["only", "without"])
def test_a_parameter_that_names_no_group_is_refused(parameter, text):
    with pytest.raises(BadRequestError, match=parameter):
        parse_selection({parameter: text}, NOW)


def test_an_unknown_group_is_refused_naming_the_known_ones():
    with pytest.raises(BadRequestError, match="memroy") as caught:
        parse_selection({"only": "memroy"}, NOW).check(frozenset({"memory", "binary"}))
    assert "binary, memory" in caught.value.remedy
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - 90),
        ("30m", NOW - 1800),
        ("2h", NOW - 7200),
        ("7d", NOW - 604_800),
        ("2w", NOW - 1_209_600),
        ("99999w", 0.0),
        ("1699999999", 1_699_999_999.0),
        ("1699999999.5", 1_699_999_999.5),
        ("2023-11-14T22:00:00Z", NOW - 800),
        ("2023-11-14T23:00:00+01:00", NOW - 800),
        ("2023-11-14T23:00:00 01:00", NOW - 800),  # as a query that was not encoded arrives
        ("2023-11-14T22:00:00", NOW - 800),
        ("2023-11-14", NOW - 80_000),
    ],
)
def test_since_is_a_time_or_how_long_ago(text, moment):
    assert parse_selection({"since": text}, NOW).since == moment


@pytest.mark.parametrize(
    "text", ["", "yesterday", "-1h", "1y", "nan", "inf", "9" * 12, "1 h", "2023-13-01", "1e3", "٣h"]
)
def test_what_is_no_time_or_still_to_come_is_refused(text):
    with pytest.raises(BadRequestError, match="since") as caught:
        parse_selection({"since": text}, NOW)
    assert "30m" in caught.value.remedy
