"""Diagnostics on the host's own port, for hosts that speak WSGI.

    app.wsgi_app = DiagnosticsMiddleware(app.wsgi_app, diagnostics)

WSGI has no event loop to answer on, so that requests are passed on to the diagnostics'
listener, whichever process of the service serves it. What this needs is imported, and its
sockets are made, in the request: a host that patches them (gevent) has done so by then.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import string
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote
from wsgiref.types import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

from endoscope import mounting
from endoscope.errors import BadRequestError, EndoscopeError, StartError, UnavailableError
from endoscope.host import Diagnostics
from endoscope.listener import Address
from endoscope.settings import CoreSettings, TlsSettings

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

_CONNECT_SECONDS = 5.0
# The diagnostics give a chunk that takes ten minutes up themselves: who is silent for longer
# hangs. A process that has died is noticed at once.
_SILENCE_SECONDS = 660.0
_CHUNK = 64 * 1024
# What is about one connection, and not about what is asked (RFC 9110, 7.6.1).
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
# The host's server has answered `Expect`, and dates its answers itself.
_NOT_PASSED_ON = _HOP_BY_HOP | {"expect", "date"}
# The listener's server sends none.
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_PEM = re.compile("-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")

logger = logging.getLogger("endoscope.wsgi")


class DiagnosticsMiddleware:
    """Passes `/diagnostics`, and what is below it, on to `diagnostics`; all else to `app`.

    Where they do not run when this is made, `app` gets everything. Nobody is let in who would
    not be let in by the listener; where that lets everybody in, or wants to see certificates,
    which cannot be passed on, it is a `StartError`.
    """

    def __init__(self, app: WSGIApplication, diagnostics: Diagnostics) -> None:
        self._app = app
        self._diagnostics = diagnostics
        self._settings = mounting.settings_of(diagnostics)
        self._certificate = _certificate(self._settings.tls if self._settings else None)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        settings = self._settings
        if settings is None or not mounting.is_ours(environ.get("PATH_INFO", "")):
            return self._app(environ, start_response)
        address = self._address()
        if address is None:
            return self._app(environ, start_response)
        try:
            _check_host(settings, environ)
            return self._pass_on(address, environ, start_response)
        except EndoscopeError as error:
            return _refuse(error, environ, start_response)

    def _address(self) -> Address | None:
        """Return where the listener is, None where diagnostics do not run."""
        address = self._diagnostics.address
        # A child that has just been forked is about to join the other processes.
        if address is None and self._diagnostics.wait_until_serving(_CONNECT_SECONDS):
            address = self._diagnostics.address
        return address

    def _pass_on(
        self, address: Address, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        from http.client import HTTPException

        try:
            connection = _connect(address, self._certificate)
            response = _ask(connection, environ)
        except (OSError, HTTPException) as error:
            raise _silent(error) from error
        answer = _Answer(connection, response)
        start_response(_status_line(response.status), _end_to_end(response.getheaders()))
        return answer


class _Answer:
    """What the diagnostics answer, as it comes. To close it ends the request there as well."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        self._promised = response.length

    def __iter__(self) -> Iterator[bytes]:
        from http.client import HTTPException, IncompleteRead

        done = 0
        try:
            while chunk := self._response.read1(_CHUNK):
                done += len(chunk)
                yield chunk
            if self._promised not in (None, done):
                raise IncompleteRead(b"", self._promised)
        except (OSError, HTTPException) as error:
            # The host's server breaks the connection off, so that nobody takes it for whole.
            raise UnavailableError("the diagnostics broke off in the middle") from error

    def close(self) -> None:
        self._response.close()
        self._connection.close()


def _certificate(tls: TlsSettings | None) -> str:
    """Return the certificate that the listener shows, PEM; the first of its chain."""
    if tls is None:
        return ""
    if tls.client_ca is not None:
        raise StartError(
            "clients of the diagnostics need a certificate (`tls.client_ca`), which cannot be "
            "passed on from the host's port",
            remedy="Leave the middleware out, or `tls.client_ca`.",
        )
    found = _PEM.search(tls.certificate.read_text(encoding="latin-1"))
    return found[0] if found else ""


def _connect(address: Address, certificate: str) -> HTTPConnection:
    """Connect to the listener. Raises OSError."""
    from http.client import HTTPConnection

    connection = HTTPConnection("localhost")
    connection.sock = _connected_socket(address)
    if certificate:
        try:
            connection.sock = _secured(connection.sock, certificate)
        except OSError:
            connection.close()
            raise
    connection.sock.settimeout(_SILENCE_SECONDS)
    return connection


def _connected_socket(address: Address) -> socket.socket:
    if not address.path:
        near = address.reachable
        return socket.create_connection((near.host, near.port), _CONNECT_SECONDS)
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(_CONNECT_SECONDS)
    try:
        client.connect(address.path)
    except OSError:
        client.close()
        raise
    return client


def _secured(plain: socket.socket, certificate: str) -> socket.socket:
    """Speak TLS with who has this very certificate, whatever the names in it."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=certificate)
    return context.wrap_socket(plain)


def _ask(connection: HTTPConnection, environ: WSGIEnvironment) -> HTTPResponse:
    method = environ["REQUEST_METHOD"]
    try:
        # Refused before all of it was sent: the answer says why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, _target(environ), _body(environ), _headers(environ))
        return connection.getresponse()
    except BaseException:
        connection.close()
        raise


def _target(environ: WSGIEnvironment) -> str:
    target = quote(environ["PATH_INFO"].encode("latin-1"))
    query = environ.get("QUERY_STRING", "")
    # As it came, but for what no request line can hold.
    return f"{target}?{quote(query.encode('latin-1'), string.punctuation)}" if query else target


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    sent = {
        name.removeprefix("HTTP_").replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            sent[name.replace("_", "-").title()] = environ[name]
    # After what `Connection` names was left out, which the client chooses.
    return {**dict(_end_to_end(sent.items())), "Host": _host(environ), "Connection": "close"}


def _host(environ: WSGIEnvironment) -> str:
    host: str = environ.get("HTTP_HOST") or environ["SERVER_NAME"]
    return host


def _check_host(core: CoreSettings, environ: WSGIEnvironment) -> None:
    """Raise `MisdirectedError` for a foreign `Host`, if a Unix socket does not look at it."""
    from endoscope.access import HostNames  # which needs asyncio

    if core.address.path:
        scope = {"headers": [(b"host", _host(environ).encode("latin-1"))]}
        HostNames(Address(host="localhost"), core.allowed_hosts).check(scope)


def _end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers without those that are for one connection only."""
    headers = list(headers)
    named = {
        word.strip().lower()
        for name, value in headers
        if name.lower() == "connection"
        for word in value.split(",")
    }
    return [(name, value) for name, value in headers if name.lower() not in _NOT_PASSED_ON | named]


def _body(environ: WSGIEnvironment) -> Iterator[bytes] | None:
    """Return the request's body, chunk by chunk; None if it has none."""
    source: InputStream = environ["wsgi.input"]
    if length := environ.get("CONTENT_LENGTH"):
        if not length.isdecimal():
            raise BadRequestError(
                f"{length!r} is no length of a body", remedy="Correct Content-Length."
            )
        return _exactly(source, int(length))
    if environ.get("wsgi.input_terminated") and "HTTP_TRANSFER_ENCODING" in environ:
        return iter(lambda: _read(source, _CHUNK), b"")
    return None


def _exactly(source: InputStream, left: int) -> Iterator[bytes]:
    while left > 0:
        chunk = _read(source, min(left, _CHUNK))
        if not chunk:
            raise _cut_short()
        left -= len(chunk)
        yield chunk


def _read(source: InputStream, size: int) -> bytes:
    try:
        return source.read(size)
    except OSError as error:  # the client's connection, not the one to the listener
        raise _cut_short() from error


def _cut_short() -> BadRequestError:
    return BadRequestError("the body ended early", remedy="Send all of it.")


def _silent(error: Exception) -> UnavailableError:
    logger.warning("the diagnostics' listener does not answer: %r", error)
    return UnavailableError(
        "the diagnostics do not answer",
        remedy="Ask again: if a process of the service has ended, another one takes over. "
        "The service's log says what failed.",
    )


def _refuse(
    error: EndoscopeError, environ: WSGIEnvironment, start_response: StartResponse
) -> list[bytes]:
    """Answer with an error's body."""
    from endoscope.access import error_answer

    headers, body = error_answer(error)
    start_response(_status_line(error.status), list(headers.items()))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _status_line(status: int) -> str:
    return f"{status} {_PHRASES.get(status, 'Unknown')}"
