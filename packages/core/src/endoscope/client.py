"""Asking a running service: HTTP over TCP, TLS or a Unix socket."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from endoscope import settings
from endoscope.configuration import Configuration
from endoscope.contributions import PREFIX
from endoscope.errors import ServiceError
from endoscope.listener import Address, parse_address
from endoscope.saving import written_whole

_SECONDS = 60.0
# Busy with the same for somebody else; starting, stopping or overloaded.
_PASSING = frozenset({409, 503})
_CHUNK = 256 * 1024
_FILE_NAME = re.compile(r'filename="([A-Za-z0-9][A-Za-z0-9._-]*)"')


@dataclass(frozen=True, slots=True)
class Target:
    """Where a service is and how to be let in. `tls` is None for clear text."""

    address: Address
    secret: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    @classmethod
    def from_url(cls, url: str, secret: str | None, authority: Path | None = None) -> Target:
        """Parse `http://host:port`, `https://host:port`, `host:port` or `unix:/path`."""
        tls = None
        try:
            if url.startswith(("http://", "https://")):
                parts = urlsplit(url)
                if parts.scheme == "https":
                    tls = ssl.create_default_context(cafile=authority)
                host = parts.hostname or ""
                port = parts.port or (443 if tls else 80)
                url = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            return cls(parse_address(url), secret, tls)
        except ssl.SSLError as error:
            raise ServiceError(
                f"{authority} is no certificate: {error}", remedy="Give a PEM file with --ca."
            ) from error
        except ValueError as error:
            raise ServiceError(
                f"{error}", remedy="Give the service's address, as in http://127.0.0.1:8089."
            ) from error

    @classmethod
    def from_configuration(cls, source: Configuration, secret: str | None) -> Target:
        """Take address, secret and certificate from the service's own configuration."""
        core = settings.resolve(source, {}).core
        if secret is None and core.shared_secret is not None:
            secret = core.shared_secret.get_secret_value()
        tls = None
        if core.tls is not None:
            tls = ssl.create_default_context()
            tls.load_verify_locations(core.tls.certificate)
        return cls(core.address.reachable, secret, tls)


class TransientError(ServiceError):
    """It may pass by itself: nobody listens, the transfer broke off, the service is busy."""


@dataclass(frozen=True, slots=True)
class Download:
    """An answer as it arrives: the service's name for it, its chunks, and their bytes in all.

    The name has no folder in it; `length` is None if nobody knows. The chunks can be taken once.
    """

    name: str
    length: int | None
    chunks: Iterator[bytes]


class Client:
    """Sends requests to one service. Every failure is a `ServiceError` with a remedy.

    One that does not send a byte for `seconds` is given up.
    """

    def __init__(self, target: Target, seconds: float = _SECONDS) -> None:
        self._target = target
        self._seconds = seconds
        self._socket: socket.socket | None = None

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the JSON answer to `method` on `path`, relative to `/diagnostics`.

        A `body` is sent as JSON.
        """
        sent = None if body is None else json.dumps(body).encode()
        try:
            return json.loads(self.fetch(method, path, query, sent))
        except ValueError as error:
            raise _stranger("answered with something else than JSON") from error

    def fetch(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> bytes:
        """Return the whole answer to `method` on `path`, whatever it is."""
        with self._response(method, path, query or {}, body) as response:
            content: bytes = response.read()
            return content

    def save(
        self,
        path: str,
        output: Path | None,
        query: Mapping[str, str] | None = None,
        progress: Callable[[int, int | None], None] = lambda _done, _total: None,
    ) -> Path:
        """Download `path` into `output`, a file or folder, and return where it lies.

        Without `output` the service's name for it is used, in the current folder. The
        data is written beside its final name and renamed once it is whole. `progress` is
        told the bytes so far and in all, None if nobody knows.
        """
        with self.download(path, query) as download:
            final = _destination(output, download.name)
            done = 0
            with written_whole(final) as write:
                for chunk in download.chunks:
                    write(chunk)
                    done += len(chunk)
                    progress(done, download.length)
        return final

    @contextlib.contextmanager
    def download(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Download]:
        """Yield the answer to GET `path`; to take its chunks raises an error if it breaks off."""
        with self._response("GET", path, query or {}) as response:
            in_all: int | None = response.length
            yield Download(_name(response), in_all, _chunks(response, in_all))

    def break_off(self) -> None:
        """End the request that another thread waits for; it gets a `ServiceError`."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _response(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None
    ) -> Iterator[Any]:
        connection = _connection(self._target, self._seconds)
        url = PREFIX + quote(path) + (f"?{urlencode(query)}" if query else "")
        try:
            connection.connect()
            self._socket = connection.sock
            connection.request(method, url, body, _credentials(self._target))
            with connection.getresponse() as response:
                if response.status >= 400:
                    raise _refusal(response)
                yield response
        except (http.client.IncompleteRead, ssl.SSLEOFError) as error:
            raise _broken_off(self._target) from error
        except ssl.SSLError as error:
            raise ServiceError(
                f"{self._target.address}: no secure connection: {error}",
                remedy="Give the authority's certificate with --ca.",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise TransientError(
                f"{self._target.address}: {reason}",
                remedy="Is the service running, and diagnostics enabled in it? "
                "`endoscope doctor` looks at its configuration.",
            ) from error
        finally:
            connection.close()


def _chunks(response: Any, in_all: int | None) -> Iterator[bytes]:
    done = 0
    while chunk := response.read(_CHUNK):
        done += len(chunk)
        yield chunk
    if in_all is not None and done != in_all:
        raise http.client.IncompleteRead(b"", in_all - done)


def _name(response: Any) -> str:
    match = _FILE_NAME.search(response.getheader("Content-Disposition") or "")
    return match[1] if match else "download"


def _destination(output: Path | None, name: str) -> Path:
    if output is None:
        return Path(name)
    return output / name if output.is_dir() else output


def _credentials(target: Target) -> dict[str, str]:
    if target.secret is None:
        return {}
    # An environment variable may hold bytes that are no text.
    secret = target.secret.encode("utf-8", "surrogateescape")
    return {"Authorization": "Bearer " + base64.b64encode(secret).decode()}


def _refusal(response: Any) -> ServiceError:
    kind = TransientError if response.status in _PASSING else ServiceError
    try:
        body = json.loads(response.read(_CHUNK))
        return kind(str(body["error"]), remedy=str(body["remedy"]), code=str(body["code"]))
    except (ValueError, KeyError, TypeError):
        said = f"answered with status {response.status}, and not as Endoscope would"
        return _stranger(said, kind)


def _stranger(message: str, kind: type[ServiceError] = ServiceError) -> ServiceError:
    return kind(message, remedy="Is this the address of the diagnostics listener?")


def _broken_off(target: Target) -> TransientError:
    return TransientError(
        f"{target.address}: the transfer broke off before its end",
        remedy="Ask again; the service's log says what happened.",
    )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(target: Target, seconds: float) -> http.client.HTTPConnection:
    address = target.address
    if address.path:
        return _UnixConnection(address.path, seconds)
    if target.tls is not None:
        return http.client.HTTPSConnection(
            address.host, address.port, timeout=seconds, context=target.tls
        )
    return http.client.HTTPConnection(address.host, address.port, timeout=seconds)
