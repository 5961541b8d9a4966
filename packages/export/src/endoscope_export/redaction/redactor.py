"""One text, redacted chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence

from endoscope import give_way, giving_way
from endoscope_export.redaction.findings import LOOKBEHIND, MASK, Finding
from endoscope_export.redaction.searches import Search
from endoscope_export.redaction.swallowing import Swallow

_WINDOW = 64 * 1024


class Redactor:
    """Takes a text in chunks and returns it redacted; the chunks' sizes make no difference.

    It holds back up to twice `lookahead` bytes. `counts` is how often each rule has masked
    something so far.
    """

    def __init__(self, searches: Sequence[Search], lookahead: int) -> None:
        self.counts: dict[str, int] = {}
        self._searches = searches
        self._lookahead = lookahead
        self._data = b""
        self._done = 0  # so far, the data was given out or masked
        self._mask = range(0)  # what the latest mask stands for
        self._swallow: Swallow | None = None  # what goes on with it
        self._waiting: list[Finding] = []  # found, but further on

    def feed(self, chunk: bytes) -> bytes:
        """Take the next chunk; return what is certain by now."""
        pieces: list[bytes] = []
        for offset in range(0, len(chunk), _WINDOW):
            self._data += chunk[offset : offset + _WINDOW]
            if len(self._data) >= self._done + 2 * self._lookahead:
                pieces += self._advance(len(self._data) - self._lookahead)
                if len(chunk) >= _WINDOW:  # little takes no time
                    give_way()
        return b"".join(pieces)

    def finish(self) -> bytes:
        """Return the rest, since nothing comes after it."""
        return b"".join(self._advance(len(self._data)))

    def _advance(self, limit: int) -> list[bytes]:
        pieces: list[bytes] = []
        if self._swallow:
            self._swallow_on(self._swallow, self._done, limit)
        for finding in giving_way(self._findings(limit)):
            if self._swallow or finding.start >= limit:
                self._wait(finding)
            elif finding.start < self._done:
                self._extend(finding, limit)
            else:
                pieces += self._begin(finding, limit)
        if not self._swallow and self._done < limit:
            pieces.append(self._data[self._done : limit])
            self._done = limit
        self._forget(min(self._done, limit) - LOOKBEHIND)
        return pieces

    def _findings(self, limit: int) -> list[Finding]:
        found, self._waiting = self._waiting, []
        for search in self._searches:
            found.extend(search.findings(self._data, limit))
        return sorted(found, key=lambda finding: (finding.start, finding.origin))

    def _wait(self, finding: Finding) -> None:
        """Keep it for when the mask has ended that lies before it, or over its beginning."""
        if finding.start >= self._done or (finding.firm and finding.end > self._done):
            self._waiting.append(finding)

    def _begin(self, finding: Finding, limit: int) -> list[bytes]:
        if finding.origin in self._mask and not finding.firm:
            return []  # its sign is masked, so it is none
        shown = self._data[self._done : finding.start]
        self._mask = range(finding.start, finding.start)
        self._swallow_on(finding.swallow, finding.start, limit)
        self.counts[finding.rule] = self.counts.get(finding.rule, 0) + 1
        return [shown, MASK]

    def _extend(self, finding: Finding, limit: int) -> None:
        """Mask what reaches out of the latest mask, under the same mask."""
        if finding.origin < self._mask.start or finding.firm:
            self._swallow_on(finding.swallow, finding.start, limit)

    def _swallow_on(self, swallow: Swallow, position: int, limit: int) -> None:
        end, goes_on = swallow.take(self._data, position, limit)
        if end >= self._done:
            self._done, self._swallow = end, goes_on
            self._mask = range(self._mask.start, end)

    def _forget(self, size: int) -> None:
        if size > 0:
            self._data = self._data[size:]
            self._done -= size
            self._mask = range(self._mask.start - size, self._mask.stop - size)
            self._waiting = [finding.moved(-size) for finding in self._waiting]
            for search in self._searches:
                search.move(-size)
