"""Fuzzes a target, guided by coverage: `python fuzz.py TARGET [LIBFUZZER'S OPTIONS] [FOLDERS]`.

Runs in an environment of its own, which `make fuzz` sets up: atheris has wheels for few Pythons.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
MEMORY_BYTES = 2 * 1024**3
OPTIONS = (
    "-timeout=10",  # seconds for one input
    "-max_len=4096",  # enough for every kind of line, and what is larger is slower to try
    "-rss_limit_mb=1500",
    "-print_final_stats=1",
)

with atheris.instrument_imports(include=["endoscope_profiles"]):
    from targets import TARGETS  # with all that they read with


def main():
    """Hand over to libFuzzer, which never returns."""
    target = TARGETS[sys.argv.pop(1)]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    words = f"-dict={HERE / 'words.dict'}"
    atheris.Setup([sys.argv[0], *OPTIONS, words, *sys.argv[1:]], target)
    atheris.Fuzz()


main()
