from __future__ import annotations

import pytest

from endoscope import BadRequestError
from endoscope_export.selection import Selection, parse_selection


def test_nothing_asked_takes_everything():
    assert parse_selection({}).takes("memory")


def test_only_takes_the_named_groups():
    selection = parse_selection({"only": "memory, config"})
    assert selection == Selection(frozenset({"memory", "config"}))
    assert [selection.takes(g) for g in ("memory", "config", "binary")] == [True, True, False]


def test_without_wins_over_only():
    selection = parse_selection({"only": "memory,config", "without": "memory"})
    assert not selection.takes("memory")
    assert selection.takes("config")


@pytest.mark.parametrize("text", ["", ",", " , "])
@pytest.mark.parametrize("parameter", ["only", "without"])
def test_a_parameter_that_names_no_group_is_refused(parameter, text):
    with pytest.raises(BadRequestError, match=parameter):
        parse_selection({parameter: text})


def test_an_unknown_group_is_refused_naming_the_known_ones():
    with pytest.raises(BadRequestError, match="memroy") as caught:
        parse_selection({"only": "memroy"}).check(frozenset({"memory", "binary"}))
    assert "binary, memory" in caught.value.remedy
    assert caught.value.status == 400
