"""Whether the paths of an archive can be unpacked anywhere, and harm nobody."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

MOST_NAME_BYTES = 255
MOST_PATH_BYTES = 4095
"""What Linux takes, and export writes."""

_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9¹²³]|LPT[0-9¹²³])(\..*)?", re.IGNORECASE)
_NOT_ON_WINDOWS = re.compile(r'[<>:"\\|?*\x00-\x1f]')


def unsafe(path: str) -> str:
    """Say why a path must not be unpacked; empty if it may be."""
    parts = path.split("/")
    if path.startswith("/"):
        return "its path is absolute"
    if ".." in parts:
        return "its path leads out of the folder that it is unpacked into"
    if not {"", "."}.isdisjoint(parts) or "\0" in path:
        return "its path has empty parts, `.` or a NUL"
    sizes = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    if max(sizes) > MOST_NAME_BYTES or sum(sizes) + len(parts) - 1 > MOST_PATH_BYTES:
        return f"its path, or a name in it, has over {MOST_PATH_BYTES} or {MOST_NAME_BYTES} bytes"
    return ""


def unportable(path: str) -> str:
    """Say why a path cannot be unpacked everywhere, on Windows for one; empty if it can."""
    for part in path.split("/"):
        if _RESERVED.fullmatch(part):
            return f"Windows takes {part} for a device"
        if _NOT_ON_WINDOWS.search(part) or part.endswith((".", " ")):
            return "Windows takes no such name"
    return ""


def clashes(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of which the first is a file, and the folder of the second."""
    # With the separator before all other characters, what lies in a folder follows it.
    ordered = sorted(path.replace("/", "\0") for path in paths)
    for file, other in pairwise(ordered):
        if other.startswith(file + "\0"):
            yield file.replace("\0", "/"), other.replace("\0", "/")


def lookalikes(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs that differ in nothing but case or Unicode's form: one file on some systems."""
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(_folded(path), path)
        if other != path:
            yield other, path


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
