from __future__ import annotations

import pytest

from endoscope import BusyError
from endoscope_export.turns import Turns


def test_as_many_as_allowed_and_no_more():
    turns = Turns(2)
    with turns.taken("a"), turns.taken("b"), pytest.raises(BusyError), turns.taken("c"):
        pass
    with turns.taken("c"):
        pass


def test_a_refusal_says_who_is_having_an_archive_made_and_how_far_it_is():
    turns = Turns(1)
    with turns.taken("alice") as turn:
        turn.began = 1_700_000_000.0
        turn.sent_bytes = 12_345
        with pytest.raises(BusyError) as caught, turns.taken("bob"):
            pass
    assert "for alice, begun 2023-11-14T22:13:20Z, 12345 bytes" in caught.value.message
    assert "bob" not in caught.value.message
    assert "max_concurrent" in caught.value.remedy


def test_a_turn_comes_back_from_a_failure():
    turns = Turns(1)
    with pytest.raises(ValueError, match="x"), turns.taken("a"):
        raise ValueError("x")
    with turns.taken("b"):
        pass
