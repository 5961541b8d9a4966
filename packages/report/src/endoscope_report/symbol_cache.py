"""Symcaches that were made once, kept in the user's cache directory.

To read a library's debug information takes seconds and much memory; the symcache that
comes of it is looked into at once. A cache that cannot be written or read costs only that
time: nothing here raises.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from endoscope.directories import claim
from endoscope.errors import StartError

MOST_BYTES = 500_000_000
"""What the cache takes on disk at most, unless told otherwise."""

_KEY = re.compile(r"[0-9a-f]{64}")
_CHECKSUM_BYTES = hashlib.sha256().digest_size


class SymbolCache:
    """Symcaches in a folder of at most `most_bytes`: the least recently used go first.

    A key is the SHA-256 of the file that the symcache was made of, in hexadecimal. A file
    here is a SHA-256 of the symcache and the symcache itself, mode 0600. Several processes may
    use one folder.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def get(self, key: str) -> bytes:
        """Return the symcache, empty if there is none; a damaged one is thrown away."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            os.utime(path)  # now it is the most recently used
        except OSError:
            return b""
        checksum, symcache = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if hashlib.sha256(symcache).digest() == checksum:
            return symcache
        with suppress(OSError):
            path.unlink()
        return b""

    def put(self, key: str, symcache: bytes) -> None:
        """Keep a symcache, if it fits and the disk has room."""
        size = len(symcache) + _CHECKSUM_BYTES
        if size > self._most_bytes:
            return
        draft = self._folder / f".{os.urandom(8).hex()}.part"
        with suppress(OSError):
            self._make_room(size)
            try:
                descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with open(descriptor, "wb") as file:
                    file.write(hashlib.sha256(symcache).digest())
                    file.write(symcache)
                draft.replace(self._path(key))
            finally:
                draft.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key of a symcache")
        return self._folder / f"{key}.symcache"

    def _make_room(self, size: int) -> None:
        """Delete what was used least recently, drafts of killed processes among it."""
        with os.scandir(self._folder) as entries:
            files = [(entry.path, entry.stat(follow_symlinks=False)) for entry in entries]
        files.sort(key=lambda file: file[1].st_mtime_ns)
        kept = sum(status.st_size for _, status in files)
        for path, status in files:
            if kept + size <= self._most_bytes:
                return
            os.unlink(path)
            kept -= status.st_size


def of_user() -> SymbolCache | None:
    """Return the user's cache, `endoscope/symcaches` under `$XDG_CACHE_HOME` or `~/.cache`.

    None if it cannot be made, or is not this user's alone to write into.
    """
    with suppress(StartError, OSError, RuntimeError):  # RuntimeError: a user without a home
        given = Path(os.environ.get("XDG_CACHE_HOME", ""))
        caches = given if given.is_absolute() else Path.home() / ".cache"
        return SymbolCache(claim(caches / "endoscope" / "symcaches"))
    return None
