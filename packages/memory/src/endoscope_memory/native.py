"""The native part, `_native`, if this Python can have it: loaded, checked, closed in the end.

It reads the interpreter's own structures. So it is compiled for one version of CPython, refuses
any other, and before its first use must find the same frames that Python itself shows.
"""

from __future__ import annotations

import atexit
import sys
import sysconfig
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING

from endoscope_memory.availability import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["obstacle", "part"]

_missing = ""
try:
    from endoscope_memory import _native as part
except (ImportError, MemoryError) as error:
    _missing = str(error)

_DEEPEST = 128  # frames that it walks
_SHORT = 250  # characters of a name that is never cut
_WITHOUT = "Use CPython 3.11 to 3.15 on Linux, not a free-threaded build"
_INSTALL = (
    "Install a wheel of endoscope-memory for this Python, or a C compiler and Python's headers "
    "(Debian: apt-get install gcc python3-dev) and then endoscope-memory anew, with "
    "pip install --force-reinstall --no-cache-dir"
)

Frame = tuple[str, str, int | None]


@cache
def obstacle() -> Reason | None:
    """Return why `part` must not be used, or None where it may. Never raises."""
    if sys.implementation.name != "cpython":
        return Reason(
            f"Python stacks are not supported on {sys.implementation.name}, only on CPython",
            _WITHOUT,
        )
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return Reason(
            "Python stacks are not supported on a free-threaded build of CPython", _WITHOUT
        )
    if _missing:
        return Reason(f"The native part of endoscope-memory is missing: {_missing}", _INSTALL)
    if difference := _difference():
        return Reason(
            f"The frames of this Python ({sys.version.split()[0]}) are not as they should be: "
            f"{difference}",
            "Report this to Endoscope; until then only what needs no Python stacks works",
        )
    # Before Python tears down what the hooks look at.
    atexit.register(part.close)
    return None


def _difference() -> str:
    """Return how the frames it finds differ from Python's own view; nothing if they do not."""
    return next((each for each in _differences() if each), "")


def _differences() -> Iterator[str]:
    # Frames of every kind: a function's, a method's, a comprehension's, a generator's, exec's.
    def compared() -> Iterator[str]:
        yield [_compare() for _ in "x"][0]  # noqa: RUF015  a frame in between is the point

    yield _compare()
    yield next(compared())
    scope = {"compare": _compare}
    exec(compile("found = compare()", "<é\n>", "exec"), scope)  # noqa: S102
    yield str(scope["found"])


def _compare() -> str:
    seen = part.walk(True), part.walk(False), _own_view(sys._getframe())  # noqa: SLF001
    with_gil, without, own = seen
    if len(own) > _DEEPEST:
        own = own[: _DEEPEST - 1]
    for found in (with_gil, without):
        for frame, expected in zip(found, own, strict=False):
            if not _agree(frame, expected):
                return f"found {frame} instead of {expected}"
        if len(found) < len(own):
            return f"found {len(found)} frames instead of {len(own)}"
    return ""


def _agree(found: Frame, expected: Frame) -> bool:
    if found[2] != expected[2]:
        return False
    # Of a long name it keeps a part, and a surrogate has no UTF-8.
    texts = zip(found[:2], expected[:2], strict=True)
    return all(one == other or len(other) > _SHORT or not _is_utf8(other) for one, other in texts)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _own_view(frame: FrameType | None) -> list[Frame]:
    stack: list[Frame] = []
    while frame is not None:
        code = frame.f_code
        stack.append((code.co_qualname, code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return stack
