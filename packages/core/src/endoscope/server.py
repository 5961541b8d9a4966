"""hypercorn on a thread of its own, with an event loop of its own.

The thread first waits on the bare socket, until somebody asks or the host has had its
first second to itself, and only then imports asyncio, Quart and hypercorn. That keeps half
a second of work out of the host's start. Where gevent is installed it waits the whole
second, out of the way of a host that patches modules in its first lines: that changes what
an import on another thread, half done, takes for its own locks.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import selectors
import socket
from collections.abc import Callable
from typing import Any

from endoscope import forking
from endoscope.errors import StartError
from endoscope.listener import Listener
from endoscope.settings import TlsSettings
from endoscope.workers import allocate_lock, is_being_patched, original, start_thread

logger = logging.getLogger("endoscope.server")

_SETTLE_SECONDS = 1.0
# A host that has begun to import gevent is given this long to patch what it will, and each
# time it is looked at, long enough to be through with it.
_PATCHED_SECONDS = 5.0
_PATCHING_SECONDS = 0.25
# After the grace period the connections are shut; what is then left to do takes no I/O.
_ABORT_SECONDS = 0.5
# From where a connection is accepted to where its request is read the loop takes so many turns,
# and a client that has connected so long to send it.
_ACCEPTING_TURNS = 5
_HEARING_SECONDS = 0.05
# A server that has handed its listener over goes on with the downloads that it has begun.
_RETIRING_SECONDS = 24 * 3600.0


class Server:
    """Serves on `listener` until stopped, one ASGI application, made on the server's thread."""

    def __init__(
        self,
        listener: Listener,
        tls: TlsSettings | None,
        make_application: Callable[[], Any],
        grace_seconds: float,
    ) -> None:
        if tls is not None:
            _check_tls(tls)
        self._listener = listener
        self._tls = tls
        self._make_application = make_application
        self._grace_seconds = grace_seconds
        self._selector = original("selectors", "DefaultSelector")()
        self._doorbell, self._doorbell_rope = os.pipe()
        self._lock = allocate_lock()
        self._stopped = self._closed = False
        self._loop: Any = None  # once the thread has made it
        self._stopping: Any = None
        self._patience: Any = None  # hypercorn's configuration, made with the loop
        self._may_be_patched = importlib.util.find_spec("gevent") is not None
        self._own_descriptors: set[int] = set()
        self._serving = allocate_lock()
        self._serving.acquire()
        self._ended = allocate_lock()
        self._ended.acquire()

    def start(self) -> None:
        """Start the thread. Clients wait in the listener's backlog until it serves."""
        start_thread(self._run, "endoscope-server")

    def hurry(self) -> None:
        """Do not wait for the host: it has had its time."""
        self._ring()

    def wait_until_serving(self, seconds: float) -> bool:
        """Block until requests are answered; False if that takes over `seconds`."""
        self.hurry()
        if not self._serving.acquire(timeout=seconds):
            return False
        self._serving.release()
        return True

    def stop(self, seconds: float) -> None:
        """Stop serving. Requests in flight get so many seconds, then are broken off.

        Returns at once when there are none; never later than half a second after them.
        """
        with self._lock:
            self._stopped = True
            if self._closed:
                return
            if self._loop is not None:
                self._tell_loop(self._stopping.set)
        self._ring()
        if self._ended.acquire(timeout=max(0.0, seconds)):
            self._ended.release()
            return
        self._tell_loop(self._break_connections)
        if not self._ended.acquire(timeout=_ABORT_SECONDS):
            logger.warning("the server did not end in time; its thread is abandoned")

    def retire(self) -> None:
        """Take no more connections, and serve those that there are to their end.

        Does not wait for it; `stop` does, for the grace period.
        """
        with self._lock:
            self._stopped = True
            if self._loop is not None and not self._closed:
                self._tell_loop(self._begin_to_retire)
        self._ring()

    @property
    def has_ended(self) -> bool:
        """Whether its thread has nothing more to do."""
        return self._closed

    def close(self) -> None:
        """Close everything. Called by the thread at its end, or if it was never started."""
        self._listener.close(last=False)
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._loop is not None:
                self._loop.close()
            self._selector.close()
            os.close(self._doorbell)
            os.close(self._doorbell_rope)

    def drop(self) -> None:
        """Close, in a forked child, every inherited descriptor, and touch nothing else.

        A connection's number stays taken (by /dev/null), since objects of the parent's
        loop, which live on here unused, still hold it. One that has ended has closed its own:
        those numbers are the host's by now.
        """
        if self._closed:
            return
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for descriptor in (self._descriptors() | self._unwatched()) - {self._doorbell, null}:
            os.dup2(null, descriptor, inheritable=False)
        for descriptor in (null, self._doorbell, self._doorbell_rope):
            os.close(descriptor)
        self._listener.drop()
        # Only this process's descriptor: no epoll_ctl, which would reach the parent's loop.
        self._selector.close()

    def _ring(self) -> None:
        """Wake the thread if it lets the host go first."""
        with self._lock:
            if self._loop is None and not self._closed:
                with contextlib.suppress(OSError):
                    os.write(self._doorbell_rope, b"!")

    def _descriptors(self) -> set[int]:
        """Return every descriptor that the loop looks at: its own, listener, connections."""
        return {key.fd for key in (self._selector.get_map() or {}).values()}

    def _unwatched(self) -> set[int]:
        """Return the loop's descriptors that it does not look at just now.

        The writing end of what wakes it, and connections whose client has gone while a
        response was on its way. asyncio has no public name for them; a test would notice
        if it lost these. A connection that is closed already, and lives on in a cycle of
        references, has no socket any more: its number may be the host's by now.
        """
        waker = getattr(self._loop, "_csock", None)
        connections = list(getattr(self._loop, "_transports", {}).values())
        sockets = (waker, *(getattr(connection, "_sock", None) for connection in connections))
        return {each.fileno() for each in sockets if each is not None} - {-1}

    def _tell_loop(self, callback: Callable[[], Any]) -> None:
        # Closed: the thread has ended by itself.
        with contextlib.suppress(RuntimeError, AttributeError):
            self._loop.call_soon_threadsafe(callback)

    def _begin_to_retire(self) -> None:
        self._patience.graceful_timeout = _RETIRING_SECONDS
        self._stopping.set()

    def _break_connections(self) -> None:
        # Not the listener, which is one with that of all other processes.
        own = self._own_descriptors | {self._listener.socket.fileno()}
        for descriptor in self._descriptors() - own:
            try:
                duplicate = socket.socket(fileno=os.dup(descriptor))
                duplicate.shutdown(socket.SHUT_RDWR)
                duplicate.close()
            except OSError:
                continue

    def _run(self) -> None:
        try:
            self._settle()
            if self._make_loop():
                self._loop.run_until_complete(self._serve())
        except Exception:
            logger.exception("diagnostics have stopped serving")
        finally:
            # A host that has closed every descriptor, as daemons do, has closed ours too.
            with contextlib.suppress(OSError):
                self.close()
            self._ended.release()

    def _settle(self) -> None:
        """Let the host go first: until somebody asks, or, where it might patch, has patched."""
        sources = (
            [self._doorbell] if self._may_be_patched else [self._doorbell, self._listener.socket]
        )
        for source in sources:
            self._selector.register(source, selectors.EVENT_READ)
        rung = self._selector.select(_SETTLE_SECONDS)
        waited = _SETTLE_SECONDS
        while not rung and is_being_patched() and waited < _PATCHED_SECONDS:
            rung = self._selector.select(_PATCHING_SECONDS)
            waited += _PATCHING_SECONDS
        for source in sources:
            self._selector.unregister(source)

    def _make_loop(self) -> bool:
        """Make the event loop; False if the server was stopped before."""
        # Handed over while it let the host go first: the host's next children inherit what is
        # imported, and those that gevent patches would be told that `ssl` was there too soon.
        if self._stopped:
            return False
        with forking.forks_held_off():
            import asyncio

            import hypercorn.asyncio.run  # noqa: F401  half of what is slow; the app has the rest

        with self._lock:
            if self._stopped:
                return False
            self._patience = self._hypercorn_config()
            self._loop = asyncio.SelectorEventLoop(self._selector)
            # `python -X dev` is for the host's loops: ours would tell stderr of itself.
            self._loop.set_debug(False)
            self._loop.set_exception_handler(_on_loop_error)
            self._own_descriptors = self._descriptors()
            self._stopping = asyncio.Event()
        return True

    async def _serve(self) -> None:
        from hypercorn.asyncio.run import worker_serve
        from hypercorn.config import Sockets
        from hypercorn.utils import wrap_app

        config = self._patience
        application = wrap_app(self._make_application(), config.wsgi_max_body_size, "asgi")
        listening = [self._listener.socket]
        # Handed over as they are: hypercorn would make sockets that it opens by `fd://`
        # inheritable by the host's child processes.
        sockets = Sockets(
            secure_sockets=listening if self._tls else [],
            insecure_sockets=[] if self._tls else listening,
            quic_sockets=[],
        )
        self._serving.release()
        await worker_serve(
            application, config, sockets=sockets, shutdown_trigger=self._until_stopping
        )
        await _end_tasks()

    async def _until_stopping(self) -> None:
        """Wait for the end, and then until who has just connected has been heard.

        hypercorn closes every connection that has no request, new ones as well. Whoever
        connects from now on is another process's to answer.
        """
        from asyncio import sleep

        await self._stopping.wait()
        self._loop.remove_reader(self._listener.socket)
        for _ in range(_ACCEPTING_TURNS):
            await sleep(0)
        if self._descriptors() - self._own_descriptors:
            await sleep(_HEARING_SECONDS)

    def _hypercorn_config(self) -> Any:
        from hypercorn.config import Config

        config = Config()
        config.accesslog = None
        config.errorlog = _quiet_logger()
        config.graceful_timeout = self._grace_seconds
        config.include_server_header = False
        # HTTP/2 is a quarter slower here, and shows an error in the middle only after 5 s.
        config.alpn_protocols = ["http/1.1"]
        if self._tls is not None:
            config.certfile = str(self._tls.certificate)
            config.keyfile = str(self._tls.key)
            if self._tls.client_ca is not None:
                config.ca_certs = str(self._tls.client_ca)
                from ssl import CERT_REQUIRED

                config.verify_mode = CERT_REQUIRED
        return config


def _quiet_logger() -> logging.Logger:
    """Pass on hypercorn's warnings, not its announcements: Ctrl+C here is the host's."""
    quiet = logging.getLogger("endoscope.server.http")
    quiet.setLevel(logging.WARNING)
    return quiet


async def _end_tasks() -> None:
    """Cancel what hypercorn leaves behind of connections that were broken off.

    Python would say aloud what it thinks of a loop that is closed over them.
    """
    import asyncio

    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_ABORT_SECONDS / 2)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _on_loop_error(_loop: Any, context: dict[str, Any]) -> None:
    """Log what nobody else has caught; a connection that is broken off is no news."""
    error = context.get("exception")
    ended = error is None or isinstance(error, OSError) or not isinstance(error, Exception)
    logger.log(logging.DEBUG if ended else logging.ERROR, "%s", context["message"], exc_info=error)


def _check_tls(tls: TlsSettings) -> None:
    """Load the certificate once here, so that a wrong one reaches the caller."""
    import ssl

    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # With a password, if no right one: without, OpenSSL would ask the host's terminal.
        context.load_cert_chain(tls.certificate, tls.key, password="")
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
    except (ssl.SSLError, OSError) as error:
        raise StartError(
            f"the TLS certificate cannot be used: {error}",
            remedy="Set `tls` to a PEM certificate chain and its key, and a PEM authority.",
        ) from error
