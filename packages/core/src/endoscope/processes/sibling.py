"""The processes of a service, as one of them sees the others (and, behind its socket, itself)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from endoscope.contributions import Answer, ArchiveMember, ManifestEntry, PluginAnswer, Request
from endoscope.errors import EndoscopeError
from endoscope.processes import wire
from endoscope.processes.frames import READABLE, Connection, Frame
from endoscope.processes.place import Name, Place
from endoscope.processes.wire import SiblingError
from endoscope.procfs import read_process, unix_time
from endoscope.workers import original

# Whoever does not take a connection in this time has other troubles than ours.
_CONNECT_SECONDS = 1.0
# Less than a handler has, so that who asked learns who did not answer.
ANSWER_SECONDS = 50.0
_CHUNK_SECONDS = 600.0
_FETCH_SECONDS = 600.0
# A frame that has begun to arrive comes from a process that is at it.
_FRAME_SECONDS = 5.0
# How long to wait for others before looking whether one that is silent was stopped.
_LOOK_SECONDS = 2.0
_STOPPED = "T"  # of /proc/PID/stat


class Sibling:
    """One process of the service: an `OtherProcess`, which can also be asked as a client would.

    Every method raises `EndoscopeError` if it has ended or does not answer.
    """

    def __init__(self, place: Place, name: Name) -> None:
        self.name = name
        self._place = place
        self._holding: Connection | None = None  # while it is open, what it listed is kept there
        self._asking: set[Connection] = set()

    @property
    def pid(self) -> int:
        """Its process id, as it knows it itself."""
        return self.name.pid

    @property
    def process_started(self) -> float:
        """When it started, Unix seconds; now, where there is no /proc to know it from."""
        if not self.name.started:
            return time.time()
        return unix_time(self.name.started)

    def ask(self, route: str, request: Request) -> Answer:
        """Have it answer a request with its own handler; `route` is the method and path of it."""
        frame = ask_frame(route, request, lasting=False)
        connection, reply = self._exchanged(frame, ANSWER_SECONDS)
        return self._answer(connection, reply)

    def exchange(self, frame: Frame, seconds: float) -> Frame:
        """Send a frame on a connection of its own and return what it is answered with."""
        connection, reply = self._exchanged(frame, seconds)
        connection.close()
        return reply

    def archive_members(self, seconds: float) -> tuple[PluginAnswer[ArchiveMember], ...]:
        """List its archive members; it keeps the list until `close`."""
        self.close()
        frame = Frame({"op": "members", "seconds": seconds})
        connection, reply = self._exchanged(frame, seconds + _CONNECT_SECONDS)
        self._holding = connection
        number = reply.message["list"]
        return wire.members_of(reply.message["answers"], lambda index: self._fetch(number, index))

    def manifest_entries(self, seconds: float) -> tuple[PluginAnswer[ManifestEntry], ...]:
        """Ask for its manifest entries."""
        frame = Frame({"op": "entries", "seconds": seconds})
        return wire.entries_of(self.exchange(frame, seconds + _CONNECT_SECONDS).message["answers"])

    def close(self) -> None:
        """Let it forget the members that it has listed; what is still asked is broken off."""
        for connection in list(self._asking):
            connection.break_off()
        if self._holding is not None:
            self._holding.close()
            self._holding = None

    def _fetch(self, number: int, index: int) -> bytes | BinaryIO:
        frame = Frame({"op": "member", "list": number, "index": index})
        reply = self.exchange(frame, _FETCH_SECONDS)
        return os.fdopen(reply.descriptors[0], "rb") if reply.descriptors else reply.body

    def _answer(self, connection: Connection, reply: Frame) -> Answer:
        answer = wire.answer_of(reply, lambda: _Chunks(connection, self))
        if reply.message["kind"] != "stream":
            connection.close()
        return answer

    def _exchanged(self, frame: Frame, seconds: float) -> tuple[Connection, Frame]:
        connection = _sent(self, frame)
        self._asking.add(connection)
        try:
            with self.failures_told():
                reply = connection.receive(seconds)
            wire.raise_error(reply.message)
        except BaseException:
            connection.close()
            raise
        finally:
            self._asking.discard(connection)
        return connection, reply

    @property
    def is_stopped(self) -> bool:
        """Whether the kernel says that it is stopped (SIGSTOP), and will answer nobody."""
        process = read_process(self.pid) if self.name.is_near else None
        return process is not None and process.state == _STOPPED

    def connect(self) -> Connection:
        """Return a new connection to it. Raises `OSError`.

        Not to one that is stopped: it would do what it was asked when nobody waits any more.
        """
        if self.is_stopped:
            raise TimeoutError("it is stopped")
        return Connection(self._place.connect(self.name, _CONNECT_SECONDS))

    @contextlib.contextmanager
    def failures_told(self) -> Iterator[None]:
        """Turn `OSError` into a `SiblingError` that says what has become of the process."""
        try:
            yield
        except OSError as error:
            raise self.unanswered(error) from error

    def unanswered(self, error: OSError) -> EndoscopeError:
        """Return the error that says why it does not answer."""
        process = read_process(self.pid) if self.name.is_near else None
        ended = process is None or process.started != self.name.started or process.has_ended
        if self.name.is_near and ended:
            return SiblingError(
                f"process {self.pid} has ended",
                remedy="GET /diagnostics/processes lists those there are.",
                code="process_ended",
                status=404,
            )
        stopped = process is not None and process.state == _STOPPED
        why = "it is stopped (SIGSTOP)" if stopped else str(error)
        return SiblingError(
            f"process {self.pid} does not answer: {why}",
            remedy=f"Let it go on: kill -CONT {self.pid}." if stopped else "Ask again later.",
            code="process_does_not_answer",
            status=504,
        )


def ask_frame(route: str, request: Request, *, lasting: bool) -> Frame:
    """Return the frame that has a process answer a request."""
    inner = wire.request_frame(request)
    facts = {"op": "ask", "route": route, "request": inner.message, "lasting": lasting}
    return Frame(facts, inner.body)


def exchange_all(
    siblings: Iterable[Sibling], frame: Frame, seconds: float
) -> dict[Sibling, Frame | EndoscopeError]:
    """Send one frame to many processes at once; return what each answered, by process.

    One that has not answered after `seconds` costs the others nothing. All on this thread.
    """
    exchange = _Exchange()
    for sibling in siblings:
        exchange.ask(sibling, frame)
    exchange.wait(seconds)
    return exchange.replies


class _Exchange:
    """Questions to many processes, and their answers as they come."""

    def __init__(self) -> None:
        self.replies: dict[Sibling, Frame | EndoscopeError] = {}
        self._waiting: dict[int, tuple[Sibling, Connection]] = {}
        self._poll = original("select", "poll")()

    def ask(self, sibling: Sibling, frame: Frame) -> None:
        try:
            connection = _sent(sibling, frame)
        except EndoscopeError as error:
            self.replies[sibling] = error
            return
        self._waiting[connection.fileno()] = sibling, connection
        self._poll.register(connection.fileno(), READABLE)

    def wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._waiting and (left := until - time.monotonic()) > 0:
            readable = self._poll.poll(min(left, _LOOK_SECONDS) * 1000)
            for number, _ in readable:
                sibling, connection = self._taken(number)
                self.replies[sibling] = _received(sibling, connection)
            if not readable:
                self._give_up(
                    number for number, (one, _) in self._waiting.items() if one.is_stopped
                )
        self._give_up(self._waiting)

    def _give_up(self, numbers: Iterable[int]) -> None:
        for number in tuple(numbers):
            sibling, connection = self._taken(number)
            connection.close()
            self.replies[sibling] = sibling.unanswered(TimeoutError("it took too long"))

    def _taken(self, number: int) -> tuple[Sibling, Connection]:
        self._poll.unregister(number)
        return self._waiting.pop(number)


def _sent(sibling: Sibling, frame: Frame) -> Connection:
    with sibling.failures_told():
        connection = sibling.connect()
        try:
            connection.send(frame, _CONNECT_SECONDS)
        except BaseException:
            connection.close()
            raise
        return connection


def _received(sibling: Sibling, connection: Connection) -> Frame | EndoscopeError:
    try:
        with sibling.failures_told(), contextlib.closing(connection):
            reply = connection.receive(_FRAME_SECONDS)
            wire.raise_error(reply.message)
            return reply
    except EndoscopeError as error:
        return error


class _Chunks:
    """The chunks of a stream that another process makes, one at a time, when asked."""

    def __init__(self, connection: Connection, sibling: Sibling) -> None:
        self._connection = connection
        self._sibling = sibling

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._sibling.failures_told():
            self._connection.send(Frame({"op": "next"}), _CONNECT_SECONDS)
            reply = self._connection.receive(_CHUNK_SECONDS)
        wire.raise_error(reply.message)
        if reply.message["kind"] == "end":
            raise StopIteration
        return reply.body

    def close(self) -> None:
        """Let the process end what it makes."""
        self._connection.close()
