"""What a process does for another one of its service."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endoscope.contributions import ArchiveMember, Route
from endoscope.errors import NotFoundError
from endoscope.plugins import Plugins
from endoscope.processes import wire
from endoscope.processes.frames import Frame
from endoscope.processes.lasting import Lasting
from endoscope.processes.member import Guest, Operation
from endoscope.workers import Workers

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Duties:
    """What other processes can ask this one for.

    `routes` are all there are, as this process answers them for itself, by `POST /memory/start`.
    Chunks of what they stream are made on `streams`.
    """

    plugins: Plugins
    routes: Mapping[str, Route]
    streams: Workers


class Operations:
    """The operations by which a process does its duties."""

    def __init__(self, duties: Duties, lasting: Lasting) -> None:
        self._plugins = duties.plugins
        self._routes = duties.routes
        self._lasting = lasting
        self._lists: dict[int, tuple[ArchiveMember, ...]] = {}
        self._numbers = itertools.count(1)

    def by_name(self) -> Mapping[str, Operation]:
        """Return the operations by the word that frames have for them."""
        return {
            "ask": self.ask,
            "next": self._next,
            "members": self._members,
            "member": self._member,
            "entries": self._entries,
        }

    def forget(self, number: int) -> None:
        """Free a list of archive members."""
        self._lists.pop(number, None)

    def ask(self, frame: Frame, guest: Guest) -> Frame:
        """Have a route's own handler answer."""
        name, facts = frame.message["route"], frame.message["request"]
        route = self._routes.get(name)
        if route is None:
            raise NotFoundError(
                f"this process has no {name}",
                remedy="Processes of one service should have the same plugins.",
            )
        request = wire.request_of(facts, frame.body)
        lasting = frame.message["lasting"]
        with self._lasting.noted(name, route, request) if lasting else nullcontext():
            reply, guest.stream = wire.answer_frame(route.handler(request))
        return reply

    def _next(self, _frame: Frame, guest: Guest) -> Frame:
        chunk = next(guest.stream, None) if guest.stream is not None else None
        return Frame({"kind": "end"}) if chunk is None else Frame({"kind": "chunk"}, chunk)

    def _members(self, frame: Frame, guest: Guest) -> Frame:
        answers = self._plugins.archive_members(frame.message["seconds"])
        number = next(self._numbers)
        self._lists[number] = tuple(member for answer in answers for member in answer.items)
        guest.lists.append(number)
        return Frame({"kind": "members", "list": number, "answers": wire.member_facts(answers)})

    def _member(self, frame: Frame, _guest: Guest) -> Frame:
        try:
            source = self._lists[frame.message["list"]][frame.message["index"]].source
        except (KeyError, IndexError):
            raise NotFoundError("this archive is not being made any more") from None
        return _content(source)

    def _entries(self, frame: Frame, _guest: Guest) -> Frame:
        answers = self._plugins.manifest_entries(frame.message["seconds"])
        return Frame({"kind": "entries", "answers": wire.entry_facts(answers)})


def _content(source: bytes | Path | Callable[[], Any]) -> Frame:
    """Return a member's content, or the file that it is in, opened here: this is its place."""
    if isinstance(source, Path):
        return Frame({"kind": "file"}, descriptors=(os.open(source, _OPEN),))
    content = source() if callable(source) else source
    if isinstance(content, bytes | bytearray):
        return Frame({"kind": "bytes"}, bytes(content))
    with content:
        return Frame({"kind": "file"}, descriptors=(os.dup(content.fileno()),))
