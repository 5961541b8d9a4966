"""What was asked of all processes and holds for those that join them later, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from endoscope.contributions import Request, Route
from endoscope.errors import BusyError
from endoscope.processes import wire


@dataclass(frozen=True, slots=True)
class Wish:
    """A request that sets a lasting state, by the route's name (`POST /memory/start`)."""

    route: str
    request: Request


class Lasting:
    """The last wish of each kind; used from any thread."""

    def __init__(self) -> None:
        self._wishes: dict[str, Wish] = {}

    def note(self, name: str, route: Route, request: Request) -> None:
        """Remember a request that was made to every process."""
        if route.lasting:
            # The plugin's prefix keeps the words of two plugins apart.
            self._wishes[f"{name.split('/')[1]} {route.lasting}"] = Wish(name, request)

    @contextmanager
    def noted(self, name: str, route: Route, request: Request) -> Iterator[None]:
        """Remember a request from before it is done: who joins meanwhile is told of it, too.

        Forgotten again if it fails, but for a state that the process is in already.
        """
        before = dict(self._wishes)
        self.note(name, route, request)
        try:
            yield
        except BusyError:
            raise
        except BaseException:
            self._wishes = before
            raise

    def facts(self) -> list[dict[str, Any]]:
        """Return the wishes as messages hold them."""
        return [
            {
                "route": wish.route,
                "request": wire.request_frame(wish.request).message,
                "body": wish.request.body.decode("latin-1"),
            }
            for wish in list(self._wishes.values())
        ]


def wishes_of(facts: list[Mapping[str, Any]]) -> list[Wish]:
    """Return the wishes that were told."""
    return [
        Wish(each["route"], wire.request_of(each["request"], each["body"].encode("latin-1")))
        for each in facts
    ]
