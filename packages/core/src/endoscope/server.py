"""hypercorn on a thread of its own, with an event loop of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import selectors
import socket
import ssl
from collections.abc import Callable
from typing import Any

from endoscope.access import Application
from endoscope.errors import StartError
from endoscope.listener import Listener
from endoscope.settings import TlsSettings
from endoscope.workers import allocate_lock, start_thread

logger = logging.getLogger("endoscope.server")

# After the grace period the connections are shut; what is then left to do takes no I/O.
_ABORT_SECONDS = 0.5


class Server:
    """Serves on `listener` until stopped, one application, made on the server's thread.

    Everything that the loop needs is taken here, on the caller's thread, before the
    host's program can patch it; what is slow to import is left to the thread.
    """

    def __init__(
        self,
        listener: Listener,
        tls: TlsSettings | None,
        make_application: Callable[[], Application],
        grace_seconds: float,
    ) -> None:
        if tls is not None:
            _check_tls(tls)
        self._listener = listener
        self._tls = tls
        self._make_application = make_application
        self._grace_seconds = grace_seconds
        # epoll where there is one: select() fails on descriptors over 1023.
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._own_descriptors = self._descriptors()
        self._stopping = asyncio.Event()
        self._serving = allocate_lock()
        self._serving.acquire()
        self._ended = allocate_lock()
        self._ended.acquire()

    def start(self) -> None:
        """Start the thread. Clients wait in the listener's backlog until it serves."""
        start_thread(self._run, "endoscope-server")

    def wait_until_serving(self, seconds: float) -> bool:
        """Block until requests are answered; False if that takes over `seconds`."""
        if not self._serving.acquire(timeout=seconds):
            return False
        self._serving.release()
        return True

    def stop(self) -> None:
        """Stop serving. Requests in flight get the grace period, then are broken off.

        Returns at once when there are none; never later than the grace period and half
        a second.
        """
        if not self._tell_loop(self._stopping.set):
            return
        if self._ended.acquire(timeout=self._grace_seconds):
            self._ended.release()
            return
        self._tell_loop(self._break_connections)
        if not self._ended.acquire(timeout=_ABORT_SECONDS):
            logger.warning("the server did not end in time; its thread is abandoned")

    def drop(self) -> None:
        """Close, in a forked child, every inherited descriptor, and touch nothing else.

        A connection's number stays taken (by /dev/null), since objects of the parent's
        loop, which live on here unused, still hold it.
        """
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for descriptor in self._descriptors():
            os.dup2(null, descriptor, inheritable=False)
        os.close(null)
        # Only this process's descriptor: no epoll_ctl, which would reach the parent's loop.
        self._selector.close()

    def _descriptors(self) -> set[int]:
        """Return every descriptor that the loop looks at: its own, listener, connections."""
        return {key.fd for key in (self._selector.get_map() or {}).values()}

    def _tell_loop(self, callback: Callable[[], Any]) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # closed: the thread has ended
            return False
        return True

    def _break_connections(self) -> None:
        for descriptor in self._descriptors() - self._own_descriptors:
            try:
                duplicate = socket.socket(fileno=os.dup(descriptor))
                duplicate.shutdown(socket.SHUT_RDWR)
                duplicate.close()
            except OSError:
                continue

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            logger.exception("diagnostics have stopped serving")
        finally:
            self._listener.close()
            self._loop.close()
            self._ended.release()

    async def _serve(self) -> None:
        # Slow to import, and needed by nobody but this thread.
        from hypercorn.asyncio.run import worker_serve
        from hypercorn.config import Sockets
        from hypercorn.utils import wrap_app

        config = self._hypercorn_config()
        application: Any = self._make_application()
        application = wrap_app(application, config.wsgi_max_body_size, "asgi")
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
            application, config, sockets=sockets, shutdown_trigger=self._stopping.wait
        )

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
                config.verify_mode = ssl.CERT_REQUIRED
        return config


def _quiet_logger() -> logging.Logger:
    """Pass on hypercorn's warnings, not its announcements: Ctrl+C here is the host's."""
    quiet = logging.getLogger("endoscope.server.http")
    quiet.setLevel(logging.WARNING)
    return quiet


def _check_tls(tls: TlsSettings) -> None:
    """Load the certificate once here, so that a wrong one reaches the caller."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
    except (ssl.SSLError, OSError) as error:
        raise StartError(
            f"the TLS certificate cannot be used: {error}",
            remedy="Set `tls` to a PEM certificate chain and its key, and a PEM authority.",
        ) from error
