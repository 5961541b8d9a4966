"""Regular expressions over bytes in RE2: linear time, and the GIL is released meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import re2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# RE2 drops its states and goes on more slowly when this is used up. The default of 8 MiB is
# too little for a long secret in all its spellings.
_MAX_MEMORY = 32 * 1024 * 1024


class Match(Protocol):
    """What RE2 has found; a group that took no part is at (-1, -1)."""

    def start(self) -> int: ...

    def end(self) -> int: ...

    def span(self, group: int = 0) -> tuple[int, int]: ...


class Expression(Protocol):
    """A compiled expression. `position` and `end` are offsets into `data`."""

    @property
    def groups(self) -> int: ...

    @property
    def groupindex(self) -> Mapping[bytes, int]: ...

    def search(
        self, data: bytes, position: int | None = None, end: int | None = None
    ) -> Match | None: ...

    def match(
        self, data: bytes, position: int | None = None, end: int | None = None
    ) -> Match | None: ...

    def finditer(
        self, data: bytes, position: int | None = None, end: int | None = None
    ) -> Iterator[Match]: ...


def expression(pattern: bytes, *, utf8: bool = False, longest: bool = False) -> Expression:
    """Compile `pattern`; `.` is one byte, or one character with `utf8`.

    `longest` prefers the longest alternative to the first. Raises `re2.error`.
    """
    options = re2.Options()
    encoding = re2.Options.Encoding
    options.encoding = encoding.UTF8 if utf8 else encoding.LATIN1
    options.longest_match = longest
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    return cast("Expression", re2.compile(pattern, options))
