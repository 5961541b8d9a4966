"""Going through text for signs of secrets; the sizes of the windows make no difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from endoscope import giving_way
from endoscope_export.redaction.expressions import Expression
from endoscope_export.redaction.findings import Finding
from endoscope_export.redaction.swallowing import Length

BLOCK = 1024
"""A match of a pattern is found if it is no longer than this; often if no longer than twice."""


class Search(Protocol):
    """Looks for one family of secrets."""

    def findings(self, data: bytes, limit: int) -> Iterator[Finding]:
        """Yield what has its sign before `limit` and was not yielded before.

        The data goes on for `LOOKAHEAD` bytes after `limit`, unless it ends there.
        """

    def move(self, by: int) -> None:
        """Learn that `by` bytes were added to the front of the data."""


class SignSearch:
    """Looks for signs, and has each judged, which takes the data and where the sign is."""

    def __init__(
        self, signs: Expression, judge: Callable[[bytes, int, int], Finding | None]
    ) -> None:
        self._signs = signs
        self._judge = judge
        self._next = 0

    def findings(self, data: bytes, limit: int) -> Iterator[Finding]:
        for sign in giving_way(self._signs.finditer(data, self._next)):
            start, end = sign.span()
            if start >= limit:
                break
            self._next = end
            finding = self._judge(data, start, end)
            if finding:
                yield finding
        self._next = max(self._next, limit)

    def move(self, by: int) -> None:
        self._next += by


class SecretSearch:
    """Looks for known secrets; where two overlap, both are found."""

    def __init__(self, secrets: Expression) -> None:
        self._secrets = secrets
        self._next = 0

    def findings(self, data: bytes, limit: int) -> Iterator[Finding]:
        while found := self._secrets.search(data, self._next):
            start, end = found.span()
            if start >= limit:
                break
            self._next = start + 1
            yield Finding(start, start, "secret", Length(end - start), firm=True)
        self._next = max(self._next, limit)

    def move(self, by: int) -> None:
        self._next += by


class PatternSearch:
    """Looks for what one pattern of the settings matches.

    What a match is must not depend on where the window ends, and a stranger's pattern may look
    as far as it likes. So the text is divided into blocks, counted from its beginning, and each
    match is sought in the block where it begins and the next one alone.
    """

    def __init__(self, rule: str, pattern: Expression) -> None:
        self._rule = rule
        self._pattern = pattern
        self._group = pattern.groupindex.get(b"secret", min(1, pattern.groups))
        self._next = 0
        self._block = 0

    def findings(self, data: bytes, limit: int) -> Iterator[Finding]:
        while found := self._pattern.search(data, self._next):
            if found.start() >= limit:
                break
            # No match begins before this one's block, however far it looks.
            self._next = max(self._next, found.start())
            yield from self._in_block(data, limit)
        self._next = max(self._next, limit)

    def _in_block(self, data: bytes, limit: int) -> Iterator[Finding]:
        begin = self._next - (self._next - self._block) % BLOCK
        stop = min(limit, begin + BLOCK)
        for found in self._pattern.finditer(data, self._next, min(len(data), begin + 2 * BLOCK)):
            start, end = found.span()
            if start >= stop:
                break
            self._next = max(end, start + 1)
            yield from self._finding(start, found.span(self._group))
        self._next = max(self._next, stop)

    def _finding(self, origin: int, span: tuple[int, int]) -> Iterator[Finding]:
        start, end = span
        if start < end:
            yield Finding(start, origin, self._rule, Length(end - start), firm=True)

    def move(self, by: int) -> None:
        self._next += by
        self._block = (self._block + by) % BLOCK
