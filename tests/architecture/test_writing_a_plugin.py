"""The guide's code is the example's code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "endoscope-threads"
SOURCES = {
    "toml": ("pyproject.toml",),
    "python": ("src/endoscope_threads/plugin.py", "tests/test_plugin.py"),
}
GUIDE = (ROOT / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(toml|python)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_guide_has_code():
    assert {language for language, _ in BLOCKS} == set(SOURCES)


@pytest.mark.parametrize(("language", "block"), BLOCKS, ids=[block[:40] for _, block in BLOCKS])
def test_every_block_is_the_example_s(language, block):
    texts = [(EXAMPLE / name).read_text(encoding="utf-8") for name in SOURCES[language]]
    assert any(block in text for text in texts)
