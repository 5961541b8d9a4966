"""The private socket of a process, and the thread that attends to it.

It sleeps until another process asks. What is asked is done on worker threads, and a
connection that waits for its next question holds none of them, so that many clients who
stall cost no thread here either. No event loop, and nothing to import: a process that nobody
asks pays for one sleeping thread.
"""

from __future__ import annotations

import _socket
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from endoscope.chunks import close_chunks
from endoscope.errors import EndoscopeError
from endoscope.processes import wire
from endoscope.processes.frames import READABLE, Connection, Frame
from endoscope.workers import Job, Workers, allocate_lock, original

logger = logging.getLogger("endoscope.processes")

# A frame comes whole: who takes longer is stopped in the middle of it.
_FRAME_SECONDS = 1.0
_SEND_SECONDS = 30.0
_NO_DESCRIPTOR_SECONDS = 0.5
_INSTANT = {"ping"}
# Longer than who asks waits; then the thread is replaced.
_OPERATION_SECONDS = 600.0


@dataclass(slots=True)
class Guest:
    """A connection from another process, and what is kept for it while it is open."""

    connection: Connection
    stream: Iterator[bytes] | None = None
    lists: list[int] = field(default_factory=list)


Operation = Callable[[Frame, Guest], Frame]
"""Does what a frame asks for, on a worker thread. Descriptors of its answer are closed for it."""


class Member:
    """Answers other processes, by operation, on the thread that calls `attend`.

    What they ask is done on `workers`, or on `others`, by operation; what is done in no time
    (`_INSTANT`) on the attending thread, so that it says whether that is alive.
    """

    def __init__(self, workers: Workers, others: Mapping[str, Workers]) -> None:
        self._workers = workers
        self._others = others
        self._lock = allocate_lock()  # of the doorbell: nothing is written to a number not ours
        self._operations: Mapping[str, Operation] = {}
        self._forget: Callable[[int], None] = lambda _number: None
        self._poll = original("select", "poll")()
        self._doorbell, self._rope = os.pipe()
        self._listening: _socket.socket | None = None
        self._guests: dict[int, Guest] = {}
        self._callbacks: deque[Callable[[], None]] = deque()
        self._working: dict[Job[None], tuple[Guest, Workers, float]] = {}
        self._watches: dict[int, Callable[[], float]] = {}
        self._muted: dict[int, float] = {}
        self._stopped = self._closed = False

    def attend(
        self,
        listening: _socket.socket,
        operations: Mapping[str, Operation],
        forget: Callable[[int], None],
    ) -> None:
        """Answer until `stop`. `forget` is told of each list whose guest has gone."""
        self._listening, self._operations, self._forget = listening, operations, forget
        self._poll.register(self._doorbell, READABLE)
        self._poll.register(listening.fileno(), READABLE)
        while not self._stopped:
            for number, _ in self._poll.poll(self._patience()):
                self._attend_to(number)
            while self._callbacks:
                self._callbacks.popleft()()
            self._take_back()
            self._give_up_late_ones()
            self._listen_again()

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Have the attending thread call `callback`."""
        self._callbacks.append(callback)
        self.ring()

    def watch(self, number: int, callback: Callable[[], float]) -> None:
        """Call `callback` when a descriptor is readable. From the attending thread only.

        It returns for how many seconds not to look at it; infinity: never again.
        """
        self._watches[number] = callback
        self._poll.register(number, READABLE)

    def unwatch(self, number: int) -> None:
        """Look at a descriptor no more."""
        if self._watches.pop(number, None) is not None and self._muted.pop(number, None) is None:
            self._poll.unregister(number)

    def ring(self) -> None:
        """Wake the attending thread."""
        with self._lock, contextlib.suppress(OSError):
            if not self._closed:
                os.write(self._rope, b"!")

    def stop(self) -> None:
        """Let `attend` return."""
        self._stopped = True
        self.ring()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def close(self) -> None:
        """Close everything, at the end of the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for number in (self._doorbell, self._rope):
                with contextlib.suppress(OSError):  # a host that closes all descriptors
                    os.close(number)
        if self._listening is not None:
            self._listening.close()
        working = (guest for guest, *_ in self._working.values())
        for guest in (*self._guests.values(), *working):
            guest.connection.close()

    def drop(self) -> None:
        """Close, in a forked child, what is inherited, whoever held the lock in the parent."""
        self._lock = allocate_lock()
        self.close()

    # --- what the attending thread does ----------------------------------------------

    def _attend_to(self, number: int) -> None:
        if number == self._doorbell:
            os.read(number, 4096)
        elif number in self._watches:
            self._look(number)
        elif number in self._guests:
            self._hear(self._guests.pop(number))
        elif self._listening is not None:
            self._accept(self._listening)

    def _accept(self, listening: Any) -> None:
        try:
            number, _ = listening._accept()  # noqa: SLF001  `socket.accept` makes gevent's
        except OSError:  # gone again; or no descriptor is free, and it would go round in circles
            self._mute(listening.fileno(), _NO_DESCRIPTOR_SECONDS)
            return
        os.set_inheritable(number, False)
        connection = Connection(_socket.socket(fileno=number))
        if connection.peer_user() in (None, os.geteuid(), 0):
            self._welcome(Guest(connection))
        else:
            connection.close()

    def _welcome(self, guest: Guest) -> None:
        self._guests[guest.connection.fileno()] = guest
        self._poll.register(guest.connection.fileno(), READABLE)

    def _hear(self, guest: Guest) -> None:
        """Receive a question and have it answered; nothing more to receive: a guest who left."""
        self._poll.unregister(guest.connection.fileno())
        try:
            frame = guest.connection.receive(_FRAME_SECONDS)
        except OSError:
            self._dismiss(guest)
            return
        operation = str(frame.message.get("op"))
        if operation in _INSTANT:
            self._answer_at_once(frame, guest)
            return
        try:
            workers = self._others.get(operation, self._workers)
            job = workers.submit(partial(self._answer, frame, guest))
        except EndoscopeError:  # shutting down
            self._dismiss(guest)
            return
        self._working[job] = guest, workers, time.monotonic() + _OPERATION_SECONDS
        job.when_done(self.ring)

    def _answer_at_once(self, frame: Frame, guest: Guest) -> None:
        try:
            self._answer(frame, guest)
        except OSError:
            self._dismiss(guest)
        else:
            self._welcome(guest)

    def _answer(self, frame: Frame, guest: Guest) -> None:
        with contextlib.closing(frame):
            reply = self._reply(frame, guest)
        with contextlib.closing(reply):
            try:
                guest.connection.send(reply, _SEND_SECONDS)
            except (TypeError, ValueError) as error:  # a handler's JSON that is none
                logger.exception("an answer could not be sent")
                guest.connection.send(wire.error_frame(error), _SEND_SECONDS)

    def _reply(self, frame: Frame, guest: Guest) -> Frame:
        try:
            return self._operations[str(frame.message.get("op"))](frame, guest)
        except EndoscopeError as error:
            return wire.error_frame(error)
        except Exception as error:
            logger.exception("another process could not be answered")
            return wire.error_frame(error)

    def _take_back(self) -> None:
        """Wait for the next question of those whose last one is answered."""
        for job in [job for job in self._working if job.wait(0)]:
            guest, *_ = self._working.pop(job)
            try:
                job.outcome()
            except Exception:  # noqa: BLE001  its answer could not be sent: nobody waits for it
                self._dismiss(guest)
            else:
                self._welcome(guest)

    def _give_up_late_ones(self) -> None:
        now = time.monotonic()
        for job in [job for job, (*_, until) in self._working.items() if until < now]:
            guest, workers, _ = self._working.pop(job)
            workers.abandon(job)
            job.when_done(partial(self._dismiss, guest))

    def _dismiss(self, guest: Guest) -> None:
        guest.connection.close()
        for number in guest.lists:
            self._forget(number)
        if guest.stream is not None:
            with contextlib.suppress(EndoscopeError):
                self._workers.submit(partial(close_chunks, guest.stream))

    def _mute(self, number: int, seconds: float) -> None:
        self._poll.unregister(number)
        self._muted[number] = time.monotonic() + seconds

    def _look(self, number: int) -> None:
        self._mute(number, float("inf"))
        seconds = self._watches[number]()
        if number in self._watches:
            self._muted[number] = time.monotonic() + seconds

    def _listen_again(self) -> None:
        now = time.monotonic()
        for number in [number for number, until in self._muted.items() if until <= now]:
            del self._muted[number]
            self._poll.register(number, READABLE)

    def _patience(self) -> float | None:
        """Return for how many milliseconds there is nothing to do; None: for ever."""
        moments: list[Any] = [until for *_, until in self._working.values()]
        moments += [until for until in self._muted.values() if until != float("inf")]
        return max(0.0, min(moments) - time.monotonic()) * 1000 + 1 if moments else None
