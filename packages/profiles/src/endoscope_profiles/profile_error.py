"""Why a profile cannot be read: what should have stood where."""

from __future__ import annotations


class ProfileError(ValueError):
    """This is no heap profile, or a damaged one, or one beyond a limit.

    `expected` is what should have been at `offset`, in bytes from the beginning, on `line`,
    counted from 1; 0 if the format has no lines. Both are about the text that a compressed
    file holds. `cut_off` says that the profile ends there though it is not complete, as when
    the disk was full or a download broke; anything else is malformed.
    """

    def __init__(self, expected: str, line: int, offset: int, cut_off: bool) -> None:
        super().__init__(expected, line, offset, cut_off)
        self.expected = expected
        self.line = line
        self.offset = offset
        self.cut_off = cut_off

    def __str__(self) -> str:
        where = f"line {self.line} (byte {self.offset})" if self.line else f"byte {self.offset}"
        cut_off = ", where the profile is cut off" if self.cut_off else ""
        return f"expected {self.expected} at {where}{cut_off}"


class NotExpectedError(Exception):
    """Something else was `expected`, and who finds out does not know where in the text.

    Becomes a `ProfileError` where that is known. `cut_off` is its.
    """

    def __init__(self, expected: str, *, cut_off: bool = False) -> None:
        super().__init__(expected)
        self.expected = expected
        self.cut_off = cut_off
