"""Stacks of all threads, for Endoscope."""

from __future__ import annotations

import sys
import threading
import traceback
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import Field

from endoscope import (
    Access,
    ArchiveMember,
    Json,
    ManifestEntry,
    Parameter,
    Plugin,
    PluginSettings,
    Route,
    Text,
    hookimpl,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from endoscope import Answer, Request

FORMAT = Parameter("format", "as JSON, or as text for a person", choices=("json", "text"))


class ThreadsSettings(PluginSettings):
    """The section `threads` of the configuration."""

    frames: int = Field(default=100, ge=1)
    """How many frames of each thread to show, counted from the innermost."""


@dataclass(frozen=True)
class Stack:
    """One thread and its frames, innermost last, each as `file:line function`.

    A thread that C code has started is not known to `threading`: it has no name.
    """

    name: str | None
    native_id: int | None
    daemon: bool | None
    frames: list[str]


def take_stacks(limit: int) -> list[Stack]:
    """Look at every thread once, the calling one included."""
    threads = {thread.ident: thread for thread in threading.enumerate()}
    return [
        take_stack(threads.get(ident), frame, limit)
        for ident, frame in sys._current_frames().items()  # noqa: SLF001  documented for this
    ]


def take_stack(thread: threading.Thread | None, frame: FrameType, limit: int) -> Stack:
    """Write down one thread and its innermost `limit` frames."""
    lines = [
        f"{outer.f_code.co_filename}:{line} {outer.f_code.co_qualname}"
        for outer, line in islice(traceback.walk_stack(frame), limit)
    ]
    if thread is None:
        return Stack(None, None, None, lines[::-1])
    return Stack(thread.name, thread.native_id, thread.daemon, lines[::-1])


def render(stacks: Iterable[Stack]) -> Iterator[str]:
    """Yield the lines of the text form."""
    for stack in stacks:
        daemon = ", daemon" if stack.daemon else ""
        yield f"{stack.name or 'a thread without a name'} (native id {stack.native_id}{daemon})"
        yield from (f"    {line}" for line in stack.frames)
        yield ""


class ThreadsPlugin(Plugin[ThreadsSettings]):
    """Contributes a route, a file in the archive, and a line of the manifest."""

    Settings = ThreadsSettings

    @hookimpl
    def endoscope_routes(self) -> Iterable[Route]:
        return [
            Route("GET", "/stacks", self.stacks, Access.READ, "Stacks of all threads", (FORMAT,))
        ]

    @hookimpl
    def endoscope_archive_members(self) -> Iterable[ArchiveMember]:
        return [ArchiveMember("stacks.txt", self.text, group="threads")]

    @hookimpl
    def endoscope_manifest_entries(self) -> Iterable[ManifestEntry]:
        return [ManifestEntry("threads", "count", threading.active_count())]

    def stacks(self, request: Request) -> Answer:
        """Answer `GET /diagnostics/threads/stacks`."""
        if request.query.get("format") == "text":
            return Text(self.text().decode())
        return Json([asdict(stack) for stack in take_stacks(self.context.settings.frames)])

    def text(self) -> bytes:
        """Return the content of `stacks.txt`."""
        lines = render(take_stacks(self.context.settings.frames))
        return "\n".join(lines).encode(errors="backslashreplace")
