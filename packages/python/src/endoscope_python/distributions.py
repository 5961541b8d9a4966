"""The distributions that are installed where Python looks for modules."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9._+!-]+")
_SEPARATORS = re.compile(r"[-_.]+")
_SUFFIXES = (".dist-info", ".egg-info")
_METADATA_FILES = ("METADATA", "PKG-INFO")


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution. `url` is where it is from, empty if that is an index."""

    name: str
    version: str
    url: str = ""
    editable: bool = False

    @property
    def key(self) -> str:
        """The name, written in the one way that all spellings of it have in common."""
        return _SEPARATORS.sub("-", self.name).lower()

    @property
    def requirement(self) -> str:
        """The line of a requirements file from which pip installs this very distribution."""
        if self.editable:
            return f"-e {self.url}  # {self.name}=={self.version}"
        if self.url:
            return f"{self.name} @ {self.url}  # {self.version}"
        return f"{self.name}=={self.version}"


def requirements() -> bytes:
    """Return what is installed as a requirements file, by name."""
    found = sorted(installed(list(sys.path)), key=lambda distribution: distribution.key)
    return "".join(f"{each.requirement}\n" for each in found).encode(errors="backslashreplace")


def installed(path: Iterable[object]) -> Iterator[Distribution]:
    """Yield what is in the folders of `path`; of two with one name, the first one counts.

    The folders are read here and not by `importlib.metadata`, which calls the host's own
    finders, and remembers what it has read. What is in zip files is not seen, nor what has no
    valid name and version.
    """
    seen = set()
    for folder in path:
        for distribution in _in_folder(folder) if type(folder) is str else ():
            if distribution.key not in seen:
                seen.add(distribution.key)
                yield distribution


def distribution(metadata: str, direct_url: str) -> Distribution | None:
    """Read one: the headers of its metadata, and what `direct_url.json` says (PEP 610).

    None if it has no valid name and version, which anybody can write into a file.
    """
    fields = headers(metadata)
    name, version = fields.get("name", ""), fields.get("version", "")
    if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version)):
        return None
    url, editable = origin(direct_url)
    return Distribution(name, version, url, editable)


def headers(metadata: str) -> dict[str, str]:
    """Return the fields above the first empty line, by name in lower case."""
    head = metadata.replace("\r\n", "\n").partition("\n\n")[0]
    pairs = (line.partition(":") for line in head.split("\n"))
    return {name.lower(): value.strip() for name, colon, value in reversed(list(pairs)) if colon}


def origin(direct_url: str) -> tuple[str, bool]:
    """Return where a distribution is from, as pip takes it, and whether it is editable.

    Empty and False for what is from an index, or cannot be read.
    """
    try:
        facts = json.loads(direct_url or "{}")
        url = _with_commit(without_user(facts.get("url", "")), _part(facts, "vcs_info"))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return "", False
    if not url or " " in url or not url.isprintable():
        return "", False
    return url, _part(facts, "dir_info").get("editable") is True


def without_user(url: str) -> str:
    """Return `url` without user and password, of which one may be a token.

    `git`, the user of all who ask a git server by SSH, stays. Raises `ValueError` for what
    cannot be split.
    """
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"git@{host}" if user == "git" else host))


def _with_commit(url: str, vcs: Mapping[str, object]) -> str:
    kind, commit = vcs.get("vcs"), vcs.get("commit_id")
    if url and isinstance(kind, str) and isinstance(commit, str):
        return f"{kind}+{url}@{commit}"
    return url


def _part(facts: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = facts.get(name)
    return part if isinstance(part, dict) else {}


def _in_folder(folder: str) -> Iterator[Distribution]:
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:  # a zip file, or nothing at all
        return
    for name in names:
        if name.endswith(_SUFFIXES):
            place = Path(folder, name)
            found = distribution(_metadata(place), _text(place / "direct_url.json"))
            if found is not None:
                yield found


def _metadata(place: Path) -> str:
    # An egg-info may be a folder, or the very file.
    files = (*(place / name for name in _METADATA_FILES), place)
    return next(filter(None, map(_text, files)), "")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
