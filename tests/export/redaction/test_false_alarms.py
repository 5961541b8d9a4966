"""Text that holds no secrets of anybody, but talks about them all the time."""

from __future__ import annotations

import os
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

from endoscope_export.redaction import Rules

RULES = Rules.of((), {})


def masked_per_megabyte(texts):
    masked = size = 0
    for text in texts:
        redactor = RULES.redactor()
        redactor.feed(text)
        redactor.finish()
        masked += sum(redactor.counts.values())
        size += len(text)
    return masked / size * 1e6


def test_python_source_stays_readable():
    library = Path(sysconfig.get_path("stdlib"))
    names = ["*.py", "json/*.py", "http/*.py", "asyncio/*.py", "email/*.py", "logging/*.py"]
    sources = [path.read_bytes() for name in names for path in library.glob(name)]
    assert masked_per_megabyte(sources) < 30


def test_descriptions_of_packages_stay_readable():
    texts = [os.fsencode(each.read_text("METADATA") or "") for each in distributions()]
    assert masked_per_megabyte(texts) < 10
