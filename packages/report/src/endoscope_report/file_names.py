"""Names of files in a folder, no two of them for one."""

from __future__ import annotations

import threading
from itertools import chain, count
from pathlib import Path

_LONGEST_NAME = 120


class FileNames:
    """Gives names out, to any thread. What is in the folder already keeps its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._owners: dict[str, str] = {}

    def claim(self, owner: str, stem: str, name: str) -> Path:
        """Return where `owner` may write `stem-name`; with a number if others have that name.

        Neither text may have a folder in it. An owner that claims once more, since what it
        wrote came to nothing, gets the same name.
        """
        name = name[-_LONGEST_NAME:]
        numbered = (f"{stem}-{number}-{name}" for number in count(2))
        with self._lock:
            return next(
                self._folder / each
                for each in chain([f"{stem}-{name}"], numbered)
                if self._is_free(owner, each)
            )

    def _is_free(self, owner: str, name: str) -> bool:
        if (self._folder / name).exists():
            return False
        # Some file systems hold names that differ in case for one.
        return self._owners.setdefault(name.lower(), owner) == owner
