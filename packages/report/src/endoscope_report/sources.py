"""The services that archives are collected from, as people write them down."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_URL = re.compile(r"(https?://|)([^/?#]*)(.*)", re.DOTALL)
_UNIX = "unix:"
_SECRET_FILE = "secret-file="  # noqa: S105  the word in front of a path
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_STEM = 80


@dataclass(frozen=True, slots=True)
class Source:
    """A service: its address, without user and password, and the secret of its own if it has one.

    `fault` says why it cannot be asked; empty if it can. `note` is what its user should know.
    """

    url: str
    secret_file: Path | None = None
    fault: str = ""
    note: str = ""

    @property
    def stem(self) -> str:
        """How its files' names begin: letters, digits and `._-`."""
        address = self.url.rpartition("://")[2].removeprefix(_UNIX)
        return _UNSAFE.sub("-", address).strip("-._")[:_LONGEST_STEM] or "service"

    @property
    def identity(self) -> str:
        """What two ways to write the same address have in common."""
        if self.url.startswith(_UNIX):
            return self.url
        return (self.url if "://" in self.url else f"http://{self.url}").lower()


def parse(line: str) -> Source:
    """Read `URL` or `URL secret-file=PATH`."""
    url, _, option = line.strip().partition(" ")
    option = option.strip()
    if "@" in option and not option.startswith(_SECRET_FILE):
        fault = "there is a space in its URL, and maybe in a password: it is not shown whole"
        return Source("…@" + option.rpartition("@")[2], fault=fault)
    if not option:
        return _source(url, None)
    if not option.startswith(_SECRET_FILE):
        plain = _source(url, None)
        return Source(plain.url, fault="only secret-file=PATH may stand behind a URL")
    return _source(url, Path(option.removeprefix(_SECRET_FILE)))


def parse_list(lines: Iterable[str]) -> list[Source]:
    """Read one source per line; empty lines and those that begin with `#` are passed over."""
    stripped = (line.strip() for line in lines)
    return [parse(line) for line in stripped if line and not line.startswith("#")]


def distinct(sources: Iterable[Source]) -> tuple[list[Source], list[Source]]:
    """Return the sources, each address once, and those that were there already."""
    given = tuple(sources)
    first: dict[str, Source] = {}
    for source in given:
        first.setdefault(source.identity, source)
    again = [each for each in given if first[each.identity] is not each]
    return list(first.values()), again


def _source(url: str, secret_file: Path | None) -> Source:
    """Take a URL apart; what may be a user's name or password goes nowhere."""
    if url.startswith(_UNIX):
        return Source(url, secret_file)
    scheme, authority, rest = _URL.fullmatch(url).groups()  # type: ignore[union-attr]  # it matches all
    user, _, address = authority.rpartition("@")
    if "@" in rest:
        fault = "its URL cannot be read, and is not shown whole: there may be a password in it"
        return Source("…@" + rest.rpartition("@")[2], fault=fault)
    if rest not in {"", "/"}:
        path = re.split("[?#]", rest)[0]
        return Source(scheme + address + path, fault="its URL has more than an address in it")
    note = "the user and password in its URL are not used" if user else ""
    return Source(scheme + address, secret_file, note=note)
