"""The door: what every request passes before anything else looks at it.

A plain ASGI wrapper around the app, so that no route, no error page and no WebSocket can
be reached past it. First the authenticators' verdict, then the `Host` header; the access
level of a route is checked where the route is known, by `check_access`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from endoscope.contributions import Access, AccessRequest, Granted, Refused, Verdict
from endoscope.errors import (
    EndoscopeError,
    ForbiddenError,
    MisdirectedError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
)
from endoscope.listener import Address
from endoscope.plugins import Plugins
from endoscope.workers import Workers

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# On every response, whoever made it.
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'",
}

_AUTHENTICATION_SECONDS = 5.0
# A failed request is answered this much after it came, so that guessing is slow; beyond
# this many at a time they are answered at once, so that guessing fills no memory.
_FAILURE_SECONDS = 0.1
_FAILURES_HELD = 64

logger = logging.getLogger("endoscope.access")


class Guard:
    """Wraps `app`: authenticates, checks `Host`, and only then lets a request in.

    The `Granted` verdict is left in the scope under `endoscope.granted`. With no
    authenticator at all everybody is granted; that this may be so is decided, and
    refused where it may not, when diagnostics start.
    """

    def __init__(
        self, app: Application, plugins: Plugins, workers: Workers, hosts: HostNames
    ) -> None:
        self._app = app
        self._plugins = plugins
        self._workers = workers
        self._hosts = hosts
        self._open = not plugins.authenticators
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        arrived = time.monotonic()
        try:
            scope["endoscope.granted"] = await self._authenticate(scope)
            self._hosts.check(scope)
            if scope["type"] == "websocket":
                raise NotFoundError(
                    "no WebSocket is served here", remedy="GET /diagnostics lists the routes."
                )
        except EndoscopeError as error:
            await self._hold(arrived)
            await send_error(scope, receive, send, error)
            return
        await self._app(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> Granted:
        if self._open:
            return Granted("anonymous")
        request = _access_request(scope)
        try:
            verdicts = await self._workers.run(
                lambda: self._plugins.authenticate(request), _AUTHENTICATION_SECONDS
            )
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, nobody has granted
            verdicts = (Refused(f"the authenticators failed: {type(error).__name__}"),)
        return _judge(verdicts, request)

    async def _hold(self, arrived: float) -> None:
        if self._held >= _FAILURES_HELD:
            return
        self._held += 1
        try:
            await asyncio.sleep(max(0.0, arrived + _FAILURE_SECONDS - time.monotonic()))
        finally:
            self._held -= 1


def _judge(verdicts: Iterable[Verdict], request: AccessRequest) -> Granted:
    """One refusal refuses, no grant refuses; several grants are narrowed to what all allow."""
    verdicts = tuple(verdicts)
    refusals = [verdict.reason for verdict in verdicts if isinstance(verdict, Refused)]
    grants = [verdict for verdict in verdicts if isinstance(verdict, Granted)]
    if refusals or not grants:
        logger.warning(
            "refused %s %s %s: %s",
            request.client,
            request.method,
            # The client chose these characters; a log line must stay one line.
            request.path[:200].encode("unicode_escape").decode(),
            "; ".join(refusals) or "no credentials",
        )
        raise UnauthorizedError(
            "valid credentials are needed",
            remedy="Send `Authorization: Bearer <base64 of the shared secret>`.",
        )
    allowed = frozenset(Access).intersection(*(grant.access for grant in grants))
    return Granted(grants[0].principal, allowed)


def check_access(granted: Granted, needed: Access) -> None:
    """Refuse a principal that was not granted what the route needs."""
    if needed not in granted.access:
        raise ForbiddenError(
            f"{granted.principal} may not do this: the route needs `{needed.value}`",
            remedy="Ask with credentials that are granted it.",
        )


class HostNames:
    """Whom a request may be addressed to. Guards against DNS rebinding.

    A browser that was led here by a name of somebody else's sends that name. IP literals
    and `localhost` cannot be rebound; a Unix socket is out of any browser's reach.
    """

    def __init__(self, listening: Address, allowed: Iterable[str]) -> None:
        self._any = bool(listening.path)
        self._names = {"localhost", listening.host.lower(), *(name.lower() for name in allowed)}

    def check(self, scope: Scope) -> None:
        """Raise `MisdirectedError` unless every `Host` header of the request is ours."""
        if self._any:
            return
        hosts = _headers(scope).get("host", ())
        if len(hosts) != 1 or not self._is_ours(_without_port(hosts[0])):
            raise MisdirectedError(
                "this service is not known under the name in the Host header",
                remedy="Use its address, or add the name to `allowed_hosts`.",
            )

    def _is_ours(self, host: str) -> bool:
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return host.lower().removesuffix(".") in self._names
        return True


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _headers(scope: Scope) -> Mapping[str, tuple[str, ...]]:
    collected: dict[str, tuple[str, ...]] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        collected[key] = (*collected.get(key, ()), value.decode("latin-1"))
    return collected


def _access_request(scope: Scope) -> AccessRequest:
    client = scope.get("client")
    return AccessRequest(
        method=scope.get("method", "GET"),
        path=scope["path"],
        headers=_headers(scope),
        client=str(client[0]) if client and len(client) > 1 else "unix",
    )


def error_answer(error: EndoscopeError) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body with which an error is answered, whoever sends them."""
    body = json.dumps(error.body()).encode()
    headers = {
        **SECURITY_HEADERS,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **error.headers(),
    }
    return headers, body


async def send_error(scope: Scope, receive: Receive, send: Send, error: EndoscopeError) -> None:
    """Answer an ASGI request, or a WebSocket's handshake, with an error's body."""
    prefix = "websocket.http" if scope["type"] == "websocket" else "http"
    if prefix == "websocket.http":
        await receive()  # the handshake must have been taken before it is denied
    headers, body = error_answer(error)
    await send(
        {
            "type": f"{prefix}.response.start",
            "status": error.status,
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        }
    )
    if scope.get("method") == "HEAD":
        body = b""
    await send({"type": f"{prefix}.response.body", "body": body, "more_body": False})
