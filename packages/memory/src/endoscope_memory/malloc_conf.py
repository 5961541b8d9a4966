"""The text of `MALLOC_CONF`: options as `name:value`, with commas between and no blanks.

jemalloc reads it once, when the process starts. Of an option given twice the last counts; at
the first pair it cannot take apart it stops reading, and an unknown name or value is one
line on stderr and nothing else (jemalloc 5.3.0, `malloc_conf_next` in src/jemalloc.c).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAIR = re.compile(r"[A-Za-z0-9_]+:[^,]+")


def variable(prefix: str) -> str:
    """Return the variable that a jemalloc reads whose symbols start with `prefix`."""
    return f"{prefix.upper()}MALLOC_CONF"


def parse(text: str) -> dict[str, str]:
    """Return the options that jemalloc finds in `text`, which ends where it stops reading."""
    options: dict[str, str] = {}
    for pair in text.split(","):
        if not _PAIR.fullmatch(pair):
            break
        name, _, value = pair.partition(":")
        options[name] = value
    return options


def extend(text: str, options: Mapping[str, str]) -> str:
    """Return `text` with `options` in front of it, unless they stand there already.

    In front, so that what `text` sets itself wins, and so that they apply even if jemalloc
    stops reading at a mistake in it.
    """
    own = ",".join(f"{name}:{value}" for name, value in options.items())
    if not text or f"{text},".startswith(f"{own},"):
        return text or own
    return f"{own},{text}"


def mistake(text: str) -> str:
    """Return the first thing in `text` that jemalloc cannot have understood, else nothing."""
    for pair in text.removesuffix(",").split(","):
        if any(character.isspace() for character in pair):
            return f"there is a blank in {pair!r}"
        if not _PAIR.fullmatch(pair):
            return f"{pair!r} is not of the form name:value"
    return ""
