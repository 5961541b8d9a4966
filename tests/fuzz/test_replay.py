"""What fuzzing found, or found to be different from all else, is still read as it should be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # as for fuzz.py, which Python starts from here

from targets import TARGETS  # noqa: E402 - found by the line above


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_breaks_no_promise(target):
    kept = sorted((HERE / "corpus" / target).iterdir())
    assert kept
    for file in kept:
        TARGETS[target](file.read_bytes())


def test_the_corpus_is_small():
    files = [file for file in (HERE / "corpus").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 200_000
