"""Text with its secrets masked, all of it before the first byte is sent.

A tar header carries the size, which masking changes: so the text waits in a spool.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from endoscope_export.content import read
from endoscope_export.pieces import Pause
from endoscope_export.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from endoscope_export.content import Content
    from endoscope_export.redaction import Rules

_HEAD_BYTES = 8 * 1024
_BLOCK_BYTES = 64 * 1024
# A private key that begins before the part that is kept is still known by its first line.
_BEFORE_BYTES = 64 * 1024
_LONGEST_LINE = 64 * 1024
# Control characters that stand in no text, but for few: 1 in 10 bytes of what is compressed.
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\f\r\x1b\b"))
_CONTROLS_IN = 50


class Watch(Protocol):
    """Watches the time that masking takes."""

    def running(self) -> AbstractContextManager[None]:
        """Charge somebody for the time that the body takes."""

    def require_time(self) -> None:
        """Raise `ContentError` if there is no time left."""


@dataclass(frozen=True, slots=True)
class Masked:
    """Content without secrets: how often which rule has masked something, and what is cut.

    `cut` says which part is missing and why; empty if nothing is.
    """

    content: Content
    redactions: Mapping[str, int] = field(default_factory=dict)
    cut: str = ""


def is_text(content: Content) -> bool:
    """Tell by its beginning whether content is text. Raises `OSError`.

    As for grep and git, what has a NUL is not; but a log that was emptied while it was written
    to begins with nothing else.
    """
    head = bytearray(min(_HEAD_BYTES, content.size))
    filled = content.read_into(memoryview(head), 0) if head else 0
    begun = bytes(head[:filled]).lstrip(b"\0")
    controls = len(begun) - len(begun.translate(None, _CONTROLS))
    return b"\0" not in begun and controls * _CONTROLS_IN <= len(begun)


class Masking:
    """Masks text by `rules`; what is too much for the memory lies in `directory`."""

    def __init__(self, rules: Rules, directory: Path) -> None:
        self.rules = rules
        self._directory = directory

    def mask(
        self, content: Content, most: int | None, watch: Watch
    ) -> Generator[Pause, None, Masked]:
        """Return `content` masked; of more than `most` bytes the end, from a line's beginning.

        Closes `content`. Raises `ContentError` if there is no room on the disk, or no time left
        for more than one block.
        """
        start = 0 if most is None else max(0, content.size - most - _BEFORE_BYTES)
        redactor = self.rules.redactor()
        with closing(content), closing(Spool(self._directory, content.size - start)) as spool:
            reading = _Reading(content, start)
            while not reading.ended:
                with watch.running():
                    spool.write(redactor.feed(reading.block()))
                if not reading.ended:
                    yield Pause()
                    watch.require_time()
            with watch.running():
                spool.write(redactor.finish())
            begin = _beginning(spool, most, cut_before=start > 0)
            cut = reading.cut
            if start or begin:
                cut = f"only the last {spool.size - begin} of its {content.size} bytes are here"
            return Masked(spool.content(begin, content.modified), dict(redactor.counts), cut)


def _beginning(spool: Spool, most: int | None, *, cut_before: bool) -> int:
    """Return from where on at most `most` bytes are left, from a line's beginning if possible.

    What was `cut_before` it was masked begins in the middle of a line, and that may be the middle
    of a secret, which nobody could know for one: it does not stay.
    """
    begin = 0 if most is None else max(0, spool.size - most)
    if not begin and not cut_before:
        return 0
    line = spool.line_after(max(1, begin), _LONGEST_LINE)
    if line is not None:
        return line
    return min(spool.size, max(begin, _BEFORE_BYTES)) if cut_before else begin


class _Reading:
    """Reads content to its end, or to where it can no longer be read, which `cut` tells."""

    def __init__(self, content: Content, offset: int) -> None:
        self._content = content
        self._offset = offset
        self._room = memoryview(bytearray(_BLOCK_BYTES))
        self.cut = ""

    @property
    def ended(self) -> bool:
        return bool(self.cut) or self._offset >= self._content.size

    def block(self) -> bytes:
        """Return the next bytes, none where they end early."""
        room = self._room[: self._content.size - self._offset]
        filled, self.cut = read(self._content, room, self._offset)
        self._offset += filled
        return bytes(room[:filled])
