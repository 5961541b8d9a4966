"""The lines of a dump, of which only some are in memory at a time."""

from __future__ import annotations

import re

from endoscope_profiles import limits
from endoscope_profiles.profile_error import NotExpectedError, ProfileError
from endoscope_profiles.source import Source, pieces


class Lines:
    """A dump's text, and how far it has been read.

    It is matched in a window of whole lines. Where one begins depends on how the text
    arrives, and nothing else may: while there is more to come, the window holds the line to be
    read and the one after it, so that a pattern may ask for two.
    """

    def __init__(self, source: Source) -> None:
        self._pieces = pieces(source)
        self._window = b""
        self._at = 0
        self._last_line = 0  # where in the window it begins
        self._begun: list[bytes] = []  # a line whose end has not arrived
        self._begun_bytes = 0
        self._more = True
        self._broken: NotExpectedError | None = None
        self._line = 1
        self._bytes_before = 0  # the window
        self._taken_line = 1
        self._taken_offset = 0

    def take(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Step over what matches here, if anything does: at most two lines."""
        if self._at >= self._last_line and self._more:
            self._refill()
        found = pattern.match(self._window, self._at)
        if found:
            self._taken_line, self._taken_offset = self._line, self._bytes_before + self._at
            self._line += self._window.count(b"\n", self._at, found.end())
            self._at = found.end()
        return found

    def expect(self, pattern: re.Pattern[bytes], expected: str) -> re.Match[bytes]:
        """Step over what must match here. Raises `ProfileError` otherwise."""
        found = self.take(pattern)
        if found is None:
            raise self.error(expected)
        return found

    @property
    def offset(self) -> int:
        """Return how many bytes have been read."""
        return self._bytes_before + self._at

    @property
    def line(self) -> int:
        """Return the number of the line to be read next, counted from 1."""
        return self._line

    def error(self, expected: str) -> ProfileError:
        """Return an error about the next line. If the text ends in it, that is what is wrong."""
        ends_here = not self._more and self._window.find(b"\n", self._at) < 0
        if ends_here and self._broken:
            expected = self._broken.expected
            return ProfileError(expected, self._line, self.offset, self._broken.cut_off)
        return ProfileError(expected, self._line, self.offset, ends_here)

    def error_in_last(self, expected: str) -> ProfileError:
        """Return an error about what was taken last."""
        return ProfileError(expected, self._taken_line, self._taken_offset, cut_off=False)

    def finish(self) -> None:
        """Read on to the end. Raises `ProfileError` if the source is damaged before it."""
        self._skip_window()
        while self._more:
            self._refill()
            self._skip_window()
        if self._broken:
            raise self.error(self._broken.expected)

    def _skip_window(self) -> None:
        self._line += self._window.count(b"\n", self._at)
        self._at = len(self._window)

    def _refill(self) -> None:
        kept = self._window[self._at :]
        self._bytes_before += self._at
        self._window, self._at = kept + self._arriving(kept.count(b"\n")), 0
        self._last_line = self._window.rfind(b"\n", 0, -1) + 1

    def _arriving(self, lines: int) -> bytes:
        """Return whole lines, so many that with these `lines` there are two; or the rest."""
        arrived: list[bytes] = []
        while self._more and lines < 2:
            piece = self._next_piece()
            lines += piece.count(b"\n")
            if end := piece.rfind(b"\n") + 1:
                arrived += [*self._begun, piece[:end]]
                self._begun, self._begun_bytes = [], 0
            self._begun.append(piece[end:])
            self._begun_bytes += len(piece) - end
        return b"".join(arrived if self._more else arrived + self._begun)

    def _next_piece(self) -> bytes:
        """Return nothing where the text ends, and where a line is longer than any may be."""
        piece = b""
        try:
            piece = next(self._pieces, b"")
            self._check_length(piece)
        except NotExpectedError as broken:
            piece, self._broken = b"", broken
        self._more = piece != b""
        return piece

    def _check_length(self, piece: bytes) -> None:
        # Only a line that spans pieces can be too long: a piece is shorter than the limit.
        end = piece.find(b"\n")
        if self._begun_bytes + (len(piece) if end < 0 else end) > limits.LINE_BYTES:
            self._begun = []
            raise NotExpectedError(f"a line of at most {limits.LINE_BYTES:,} bytes")
