"""This process among those of its service: its private socket, and whether it has the door."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from endoscope.contributions import Request, Route
from endoscope.errors import EndoscopeError, StartError, UnavailableError
from endoscope.listener import Address, Listener, parse_address
from endoscope.processes import listing
from endoscope.processes.door import Door
from endoscope.processes.frames import Frame
from endoscope.processes.lasting import Lasting, wishes_of
from endoscope.processes.member import Guest, Member, Operation
from endoscope.processes.operations import Duties, Operations
from endoscope.processes.place import Name, Place
from endoscope.processes.sibling import Sibling
from endoscope.processes.supervisors import minds_workers
from endoscope.server import Server
from endoscope.workers import Workers, allocate_lock, original, start_thread

logger = logging.getLogger("endoscope.processes")

_CALLS = 8
_QUICK_CALLS = 2
_JOIN_SECONDS = 2.0
# How often, and how long apart, a process tries to get at the listener that others have.
_JOIN_TRIES = 30
_JOIN_PAUSE_SECONDS = 0.1
# Less than who asks waits.
_LONGEST_JOIN_SECONDS = 30.0
# A connection that the door has not taken after this time, and it does not answer in the
# second, is another's to take. Not all look at the same moment.
_PATIENCE_SECONDS = 1.0
_SPREAD_SECONDS = 0.5
_PING_SECONDS = 1.0
# Who only minds workers lets one of them be quicker.
_DEFERENCE_SECONDS = 0.15
_END_SECONDS = 0.5
# A host that has had this time to begin is not waited for when a server is to start.
_HOST_S_OWN_SECONDS = 1.0


class Presence:
    """Joins the processes at `place`, and serves the listener if it falls to this one.

    `make_server` makes a server for a listener, which it closes. Raises `StartError` where it
    cannot begin.
    """

    def __init__(
        self,
        place: Place,
        address: Address,
        duties: Duties,
        make_server: Callable[[Listener], Server],
    ) -> None:
        self.name = Name.own()
        self.lasting = Lasting()
        self._made = time.monotonic()
        self._place = place
        self._address = address
        self._duties = duties
        self._make_server = make_server
        self._calls = Workers("sibling", _CALLS)
        # Slow calls must not make this process look dead.
        self._quick_calls = Workers("sibling", _QUICK_CALLS)
        self._operations = Operations(duties, self.lasting)
        self._door = Door(place.folder, self.name)
        self._lock = allocate_lock()  # of the listener, the door and the servers
        self._listener: Listener | None = None
        self._server: Server | None = None
        self._retired: list[Server] = []
        self._last_knock = float("-inf")
        self._trouble = ""  # why this process could not become the door, the last time
        self._joined = allocate_lock()
        self._joined.acquire()
        self._ended = allocate_lock()
        self._ended.acquire()
        self._listening = _listening(place, self.name)
        self._member = Member(self._calls, self._pools())

    @property
    def address(self) -> Address | None:
        """Where clients reach the service, with the port really taken; None before that."""
        return self._listener.address if self._listener else None

    def enter(self) -> None:
        """Bind the listener if this is the first process; the others are joined by `attend`.

        Raises `StartError` for a listener that cannot be had.
        """
        if self._others() or not self._door.take():
            return
        try:
            self._serve(Listener(self._address))
        except BaseException:
            self._door.drop()
            raise

    def start(self) -> None:
        """Attend on a thread of its own."""
        start_thread(self.attend, "endoscope-member")

    def attend(self) -> None:
        """Join the others, and answer them until `stop`. Returns only then."""
        try:
            if self._listener is None:
                self._begin_to_join()
            else:
                self._joined.release()
            self._member.attend(self._listening, self._by_name(), self._operations.forget)
        except Exception:
            logger.exception("other processes are not answered any more")
        finally:
            self._member.close()
            self._ended.release()

    def siblings(self) -> tuple[Sibling, ...]:
        """Return all processes of the service by id, this one included."""
        # Though its socket may be gone: who asks all is to learn that one has not answered.
        names = {*self._place.members(), self.name}
        return tuple(Sibling(self._place, name) for name in sorted(names))

    def others(self) -> tuple[Sibling, ...]:
        """Return all processes of the service but this one."""
        return tuple(sibling for sibling in self.siblings() if sibling.name != self.name)

    def holder(self) -> Name | None:
        """Return who serves the listener."""
        return self._door.holder()

    def wait_until_serving(self, seconds: float) -> bool:
        """Block until this process has joined, and serves if it is the door."""
        until = time.monotonic() + seconds
        if not self._wait_until_joined(seconds):
            return False
        server = self._server
        return server is None or server.wait_until_serving(max(0.0, until - time.monotonic()))

    def _wait_until_joined(self, seconds: float) -> bool:
        if not self._joined.acquire(timeout=max(0.0, seconds)):
            return False
        self._joined.release()
        return True

    def stop(self, seconds: float) -> None:
        """Leave: another process takes over, requests in flight get so many seconds."""
        with self._lock:
            self._door.drop()
            servers = self._servers()
            self._server = None
        self._place.remove(self.name)
        self._member.stop()
        until = time.monotonic() + seconds
        for server in servers:
            server.stop(until - time.monotonic())
        self._stop_workers()
        if self._ended.acquire(timeout=_END_SECONDS):
            self._ended.release()
        if self._listener is not None:
            self._listener.close(last=not self._place.members())

    def abandon(self) -> None:
        """Close everything of a presence whose `attend` has never run."""
        self._door.drop()
        if self._server is not None:
            self._server.stop(_END_SECONDS)
        self._member.close()
        self._listening.close()
        self._place.remove(self.name)
        self._stop_workers()
        if self._listener is not None:
            self._listener.close(last=not self._place.members())

    def drop(self) -> None:
        """Close, in a forked child, what is inherited, and touch nothing else."""
        for server in self._servers():
            server.drop()
        self._door.drop()
        self._member.drop()
        self._listening.close()
        if self._listener is not None:
            self._listener.drop()

    def _servers(self) -> tuple[Server, ...]:
        """Return the server that is the door's, if this process is, and those before it."""
        return (*([self._server] if self._server else []), *self._retired)

    def _pools(self) -> Mapping[str, Workers]:
        """Return who does the operations that are not for the many."""
        quick = dict.fromkeys(("join", listing.DESCRIBE), self._quick_calls)
        return {**quick, "next": self._duties.streams}

    def _stop_workers(self) -> None:
        self._calls.stop()
        self._quick_calls.stop()

    def mind_the_door(self) -> None:
        """Give the door up if another process has taken it from this one meanwhile."""
        with self._lock:
            if self._server is not None and not self._door.is_ours:
                self._retire()

    # --- joining -------------------------------------------------------------------------

    def _others(self) -> list[Name]:
        """Return the other processes, the door first."""
        holder = self._door.holder()
        names = [name for name in self._place.members() if name != self.name]
        return sorted(names, key=lambda name: name != holder)

    def _begin_to_join(self) -> None:
        """Join on another thread: who waits for the others must answer them meanwhile."""
        try:
            self._calls.submit(self._join)
        except UnavailableError:  # no thread can be started
            self._join()

    def _join(self) -> None:
        try:
            if not self._has_joined():
                logger.warning(
                    "this process cannot take over the listener of its service: %s",
                    self._trouble or "nobody gives it",
                )
        except Exception:
            logger.exception("this process could not join the others of its service")
        finally:
            self._joined.release()
            self._member.call_soon(self._watch)

    def _has_joined(self) -> bool:
        """Get at the listener, from another process or by binding it; True also if stopped."""
        for _ in range(_JOIN_TRIES):
            try:
                if self._member.is_stopped or self._is_let_in() or self._binds():
                    return True
            except (OSError, RuntimeError) as error:  # no descriptor or no thread is to be had
                self._trouble = str(error)
            original("time", "sleep")(_JOIN_PAUSE_SECONDS)
        return False

    def _binds(self) -> bool:
        try:
            with self._lock:
                if self._member.is_stopped or not self._door.take():
                    return False
                self._serve(Listener(self._address))
        except StartError as error:
            self._door.drop()  # somebody has the listener: ask again
            self._trouble = error.message
            return False
        return True

    def _is_let_in(self) -> bool:
        for name in self._others():
            frame = Frame({"op": "join", "parent": os.getppid()})
            try:
                reply = Sibling(self._place, name).exchange(frame, _JOIN_SECONDS)
            except EndoscopeError:
                continue
            self._take_in(reply)
            return True
        return False

    def _take_in(self, reply: Frame) -> None:
        listener, *door = reply.descriptors
        with self._lock:
            if self._member.is_stopped:
                reply.close()
                return
            address = parse_address(reply.message["address"])
            self._listener = Listener.received(listener, address)
            if door:
                self._door.receive(door[0])
            if door or self._door.take():
                self._serve(self._listener)
        for wish in wishes_of(reply.message["lasting"]):
            route = self._duties.routes.get(wish.route)
            if route is not None:
                self.lasting.note(wish.route, route, wish.request)
                self._do(wish.route, route, wish.request)

    def _do(self, name: str, route: Route, request: Request) -> None:
        try:
            route.handler(request)
        except EndoscopeError as error:
            logger.info("a new process could not do as the others, %s: %s", name, error.message)
        except Exception:
            logger.exception("a new process could not do as the others, %s", name)

    def _let_in(self, frame: Frame, _guest: Guest) -> Frame:
        """Give a new process the listener, and the door as well if it does our work."""
        with self._lock:
            if self._listener is None or self._member.is_stopped:
                raise UnavailableError("this process has no listener", remedy="Ask another one.")
            facts = {
                "kind": "joined",
                "address": str(self._listener.address),
                "lasting": self.lasting.facts(),
            }
            descriptors = [os.dup(self._listener.socket.fileno())]
            is_worker = frame.message["parent"] == os.getpid()
            if is_worker and self._door.is_ours and minds_workers():
                descriptors.append(self._door.hand_over())
                self._retire()
            return Frame(facts, descriptors=tuple(descriptors))

    # --- the door -------------------------------------------------------------------------

    def _serve(self, listener: Listener) -> Server:
        self._listener, shared = listener, listener.share()
        try:
            self._server = server = self._make_server(shared)
        except BaseException:
            shared.close(last=False)
            raise
        try:
            server.start()
        except BaseException:  # no thread can be started
            self._server = None
            server.close()
            raise
        return server

    def _retire(self) -> None:
        """Take no more connections, serve those there are to their end, and watch again."""
        server, self._server = self._server, None
        if server is not None:
            self._retired = [one for one in self._retired if not one.has_ended]
            self._retired.append(server)
            server.retire()
        self._door.drop()
        self._member.call_soon(self._watch)

    def _watch(self) -> None:
        if self._listener is not None and self._server is None:
            self._member.watch(self._listener.socket.fileno(), self._knocked)

    def _knocked(self) -> float:
        """Somebody waits at the listener: take the door if it falls to us."""
        try:
            return self._look_at_the_door()
        except OSError as error:  # no descriptor is free, or the folder is gone
            logger.info("this process could not take over the listener now: %s", error)
        except (RuntimeError, EndoscopeError) as error:  # it could, and cannot serve
            if str(error) != self._trouble:
                logger.warning("this process could not take over the listener: %s", error)
                self._trouble = str(error)
        return _PATIENCE_SECONDS

    def _look_at_the_door(self) -> float:
        """Take the door if its holder is gone, or silent; return when to look again."""
        now = time.monotonic()
        is_first = now - self._last_knock > _PATIENCE_SECONDS + 2 * _SPREAD_SECONDS
        self._last_knock = now
        if is_first and minds_workers():
            return _DEFERENCE_SECONDS
        with self._lock:
            if self._member.is_stopped or self._listener is None:
                return float("inf")
            if self._door.take():
                return self._become_the_door(self._listener)
        holder = self._door.holder()
        if not is_first and self._is_silent(holder):
            with self._lock:
                # Not if another process has been quicker.
                if self._door.holder() == holder and not self._member.is_stopped:
                    self._door.take_from_who_is_silent()
                    return self._become_the_door(self._listener)
        return _PATIENCE_SECONDS + random.random() * _SPREAD_SECONDS  # noqa: S311  no secret

    def _become_the_door(self, listener: Listener) -> float:
        try:
            server = self._serve(listener)
        except BaseException:
            self._door.drop()
            raise
        self._member.unwatch(listener.socket.fileno())
        if time.monotonic() - self._made > _HOST_S_OWN_SECONDS:
            server.hurry()
        logger.info("process %d now serves %s", self.name.pid, listener.address)
        return float("inf")

    def _is_silent(self, holder: Name | None) -> bool:
        if holder is None or holder == self.name:
            return False
        try:
            Sibling(self._place, holder).exchange(Frame({"op": "ping"}), _PING_SECONDS)
        except EndoscopeError:
            return True
        return False

    def _by_name(self) -> Mapping[str, Operation]:
        return {
            **self._operations.by_name(),
            "ask": self._answer,
            "join": self._let_in,
            "ping": lambda _frame, _guest: Frame({"kind": "pong"}),
            listing.DESCRIBE: self._describe,
        }

    def _answer(self, frame: Frame, guest: Guest) -> Frame:
        if frame.message["lasting"]:  # after what lasts already, which is done while joining
            self._wait_until_joined(_LONGEST_JOIN_SECONDS)
        return self._operations.ask(frame, guest)

    def _describe(self, _frame: Frame, _guest: Guest) -> Frame:
        self.mind_the_door()
        facts = self._duties.plugins.process_facts()
        return listing.describe(facts, is_door=self._door.is_ours)


def _listening(place: Place, name: Name) -> Any:
    try:
        return place.listen(name)
    except OSError as error:
        raise StartError(
            f"cannot make a socket in {place.folder}: {error.strerror or error}",
            remedy="Set `output_directory` to a directory of this service's own.",
        ) from error
