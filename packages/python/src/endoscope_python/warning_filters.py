"""Which warnings are shown, and which are errors."""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import dataclass

from endoscope_python.objects import text, type_name


@dataclass(frozen=True, slots=True)
class Filter:
    """What happens to warnings of `category`. The first filter that fits decides.

    `message` and `module` are regular expressions; None and line 0 stand for any.
    """

    action: str | None
    message: str | None
    category: str
    module: str | None
    line: int | None


def tell() -> dict[str, object]:
    """Return the filters in order, and the options `-W` that some of them come from."""
    return {
        "options": list(sys.warnoptions),
        "filters": [describe(each) for each in list(warnings.filters)],
    }


def describe(entry: tuple[object, ...]) -> Filter:
    """Return one entry of `warnings.filters`. Raises `ValueError` if it is of another form."""
    action, message, category, module, line = entry
    return Filter(
        action=text(action),
        message=_pattern(message),
        category=type_name(category),
        module=_pattern(module),
        line=line if type(line) is int else None,
    )


def _pattern(value: object) -> str | None:
    return text(value.pattern) if type(value) is re.Pattern else text(value)
