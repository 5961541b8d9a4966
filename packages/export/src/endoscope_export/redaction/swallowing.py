"""What swallows a value to its end, however many windows away, in constant memory.

All of them keep one rule: where a value ends depends on the text alone, never on where a
window ends. So what could be the beginning of an end is left for the next window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from endoscope_export.redaction.expressions import Expression, expression

MOST_UNCLOSED = 64 * 1024
"""A bracket or marker that is not closed within so many bytes masks no more."""

_LONGEST_MARKER = 64
_LONGEST_UNIT = 32
_NEXT_LINES = 1024


class Swallow(Protocol):
    """Takes what is to be masked."""

    def take(self, data: bytes, position: int, limit: int, /) -> tuple[int, Swallow | None]:
        """Take from `position` on; return where it stopped, and who goes on from there.

        Nobody goes on (None) if the value has ended, which at the end of the data, where
        `limit` is its length, it always has.
        """


@dataclass(frozen=True, slots=True)
class Length:
    """Takes a number of bytes, all of which are there."""

    size: int

    def take(self, data: bytes, position: int, _limit: int, /) -> tuple[int, Swallow | None]:
        return min(position + self.size, len(data)), None


@dataclass(frozen=True, slots=True)
class Run:
    """Takes what `content` matches: a repetition of units of at most `longest` bytes each."""

    content: Expression
    longest: int = _LONGEST_UNIT

    def take(self, data: bytes, position: int, limit: int) -> tuple[int, Swallow | None]:
        end = _end(self.content, data, position, limit)
        return end, (self if _is_cut(data, end, limit, self.longest) else None)


@dataclass(frozen=True, slots=True)
class Until:
    """Takes everything before `marker`."""

    marker: Expression
    most: int = MOST_UNCLOSED

    def take(self, data: bytes, position: int, limit: int) -> tuple[int, Swallow | None]:
        bound = min(limit, position + self.most)
        found = self.marker.search(data, position, min(len(data), bound + _LONGEST_MARKER))
        if found and found.start() <= bound:
            return found.start(), None
        most = self.most - (bound - position)
        return bound, (replace(self, most=most) if most and limit < len(data) else None)


@dataclass(frozen=True, slots=True)
class Quoted:
    r"""Takes a text up to the quote that closes it.

    `escapes` is how many backslashes stand before the opening quote: 1 in `{\"key\": ...`.
    A text that `spans` may go on in the next lines if it is closed there within 1 KiB.
    """

    quote: bytes
    escapes: int = 0
    spans: bool = True

    def take(self, data: bytes, position: int, limit: int) -> tuple[int, Swallow | None]:
        end = _end(_text(self.quote, self.escapes), data, position, limit)
        if _is_cut(data, end, limit, _LONGEST_UNIT):
            return end, self
        if self.spans and data[end : end + 1] in {b"\n", b"\r"}:
            return self._end_in_next_lines(data, end), None
        return end, None

    def _end_in_next_lines(self, data: bytes, newline: int) -> int:
        text = _text(self.quote, self.escapes, lines=True)
        end = _end(text, data, newline, min(len(data), newline + _NEXT_LINES))
        return end if data[end : end + 1] == self.quote[:1] else newline


@dataclass(frozen=True, slots=True)
class Brackets:
    """Takes a list, an object or a tuple, its brackets included.

    Brackets of all kinds count alike; those in strings, which end with the line, do not.
    Unless it `spans`, it ends with the line.
    """

    spans: bool
    depth: int = 0
    quote: bytes = b""
    most: int = MOST_UNCLOSED

    def take(self, data: bytes, position: int, limit: int) -> tuple[int, Swallow | None]:
        bound = min(limit, position + self.most)
        depth, quote, seen = self.depth, self.quote, position
        for found in _BRACKET_TOKENS.finditer(data, position, bound):
            seen = found.end()
            token = data[found.start() : seen]
            if token == b"\0" or (token == b"\n" and not self.spans):
                return found.start(), None
            if token == b"\n":
                quote = b""
            elif token in {b'"', b"'"}:
                quote = (b"" if token == quote else quote) if quote else token
            elif not quote and len(token) == 1:
                depth += 1 if token in b"[{(" else -1
                if not depth:
                    return seen, None
        if bound < limit or limit == len(data):
            return bound, None
        stop = bound - (data[bound - 1 : bound] == b"\\" and seen < bound)
        return stop, replace(self, depth=depth, quote=quote, most=self.most - (stop - position))


@lru_cache(maxsize=256)
def block(column: int, *, items: bool = False) -> Run:
    """Return what takes this line and those indented deeper than `column`, as YAML does.

    With `items`, also the items of a list (`- `) at the column itself.
    """
    column = min(column, 64)
    deeper = rb"[ \t]{%d}" % (column + 1)
    more = rb"(?:%b| {%d}- )" % (deeper, column) if items else deeper
    return Run(expression(rb"(?:[^\n]|\n(?:[ \t]{0,80}\r?\n){0,8}%b)*" % more), longest=768)


@lru_cache(maxsize=16)
def entity_quoted(quote: bytes) -> Run:
    """Return what takes a text up to `quote`, which is `&quot;` or one of its like."""
    name = quote[1:]
    others = [b"&%b[^&\r\n\\x00%b]" % (name[:at], name[at : at + 1]) for at in range(len(name))]
    other = b"|".join(others)
    escaped = rb"\\(?:\\|%b|[^\\&\r\n\x00]|%b)" % (quote, other)
    return Run(expression(rb"(?:[^&\\\r\n\x00]|%b|%b)*" % (escaped, other)))


@lru_cache(maxsize=64)
def _text(quote: bytes, escapes: int, *, lines: bool = False) -> Expression:
    # So many backslashes stand for some of the text's own, whatever follows.
    cycle = 2 * (escapes + 1)
    q = rb"\x%02x" % ord(quote)
    ends = rb"\x00" if lines else rb"\x00\r\n"
    units = [
        rb"[^\\%b%b]" % (q, ends),
        rb"\\{%d}" % cycle,
        rb"\\{1,%d}[^\\%b\x00]" % (cycle - 1, q),
        rb"\\{%d,%d}%b" % (escapes + 1, cycle - 1, q),
    ]
    if not escapes:
        units.append(q + q)
    if quote in {b"'", b'"'}:
        units += [rb"""'"'"'""", rb"'\\''"]  # how a shell's word has an apostrophe
    return expression(b"(?:" + b"|".join(units) + b")*", longest=True)


def _end(content: Expression, data: bytes, position: int, limit: int) -> int:
    found = content.match(data, position, limit)
    return found.end() if found else position


def _is_cut(data: bytes, end: int, limit: int, longest: int) -> bool:
    """Tell whether the content may go on at `end`, with a unit that the window's end cuts."""
    return limit < len(data) and limit - end < longest


_BRACKET_TOKENS = expression(rb"(?s)\\.|[\[\](){}\"'\n\x00]")
