"""The files that the kernel makes up about this process, and their common forms."""

from __future__ import annotations

import os
from dataclasses import dataclass

_CHUNK_BYTES = 64 * 1024
_STATE, _FIRST_AFTER_NAME = 3, 3  # as proc(5) counts the fields of a `stat` file


def read(path: str | os.PathLike[str]) -> str:
    """Return the content of a small file; undecodable bytes as `surrogateescape` has them.

    By descriptor, since opening a Python file object makes twice as many calls, each of
    which lets go of Python's lock and has to wait for it again. Raises `OSError`.
    """
    return os.fsdecode(read_bytes(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a small file as it is. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            chunks.append(chunk)
    finally:
        os.close(descriptor)
    return b"".join(chunks)


def fields(text: str) -> dict[str, str]:
    """Return what stands in lines of the form `Name: value`, as in `/proc/self/status`."""
    pairs = (line.partition(":") for line in text.split("\n"))
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def byte_fields(text: str) -> dict[str, int]:
    """Return, in bytes, what stands in lines of the form `Name: 12 kB`."""
    return {
        name: int(kilobytes) * 1024
        for name, value in fields(text).items()
        if (kilobytes := value.removesuffix(" kB").strip()) != value and is_number(kilobytes)
    }


def is_number(text: str) -> bool:
    """Say whether `text` is a whole number as the kernel writes one, of up to 20 digits."""
    return len(text) <= 20 and text.isascii() and text.isdigit()


@dataclass(frozen=True, slots=True)
class Stat:
    """A `stat` file: the name of a process or thread, and the fields that follow it."""

    name: str
    _fields: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Stat:
        """Read `7 (name) S 1 …`, where the name may hold blanks and brackets.

        Raises `ValueError` for what has another form.
        """
        before, opening, rest = text.partition(" (")
        name, closing, after = rest.rpartition(") ")
        if not (before and opening and closing):
            raise ValueError(f"not the form of a stat file: {text[:40]!r}")
        return cls(name, tuple(after.split()))

    @property
    def state(self) -> str:
        """The state's letter, such as `S` for sleeping."""
        return self._field(_STATE)

    def number(self, position: int) -> int:
        """Return the field at `position`, counted from 1 as in proc(5)."""
        return int(self._field(position))

    def _field(self, position: int) -> str:
        try:
            return self._fields[position - _FIRST_AFTER_NAME]
        except IndexError:
            raise ValueError(f"a stat file without field {position}") from None
