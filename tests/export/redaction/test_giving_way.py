from __future__ import annotations

from endoscope_export.redaction import giving_way as module
from endoscope_export.redaction.giving_way import giving_way


def test_everything_comes_in_order_with_pauses_in_between(monkeypatch):
    paused = []
    monkeypatch.setattr(module, "give_way", lambda: paused.append(1))
    assert list(giving_way(range(300))) == list(range(300))
    assert len(paused) == 300 // 64


def test_what_is_no_longer_wanted_is_not_asked_for():
    asked = iter(range(10))
    assert next(iter(giving_way(asked))) == 0
    assert next(asked) == 1
