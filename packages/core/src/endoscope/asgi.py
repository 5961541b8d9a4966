"""Diagnostics on the host's own port, for hosts that speak ASGI on asyncio.

    app.add_middleware(DiagnosticsMiddleware, diagnostics=diagnostics)
    application = DiagnosticsMiddleware(application, diagnostics)

They answer on the host's event loop, which they keep free as they keep their own: what
blocks runs on threads of ours.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from endoscope import mounting
from endoscope.access import Application, Receive, Scope, Send, send_error
from endoscope.contributions import PREFIX
from endoscope.errors import EndoscopeError, UnavailableError
from endoscope.host import Diagnostics
from endoscope.workers import Job, start_thread

# To import everything takes half a second, or several on a machine that has other work.
_MAKING_SECONDS = 60.0

logger = logging.getLogger("endoscope.asgi")


class DiagnosticsMiddleware:
    """Hands `/diagnostics`, and what is below it, to `diagnostics`; all else to `app`.

    Where they do not run when this is made, `app` gets everything. Nobody is let in who would
    not be let in by the listener; where that lets everybody in, it is a `StartError`.
    """

    def __init__(self, app: Application, diagnostics: Diagnostics) -> None:
        self._app = app
        self._diagnostics = diagnostics
        self._settings = mounting.settings_of(diagnostics)
        self._making: Job[Any] | None = None
        self._pid = os.getpid()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _own_path(scope)
        if not path or self._settings is None:
            await self._app(scope, receive, send)
            return
        try:
            application = await self._application()
        except EndoscopeError as error:
            application = _refusal(error)
        if application is None:
            await self._app(scope, receive, send)
        elif _cannot_be_denied(scope):
            await receive()
            await send({"type": "websocket.close"})
        else:
            inside = {**scope, "path": path, "raw_path": None, "root_path": ""}
            await application(inside, receive, send)

    async def _application(self) -> Application | None:
        """Return the diagnostics' application, None while there is none.

        Made on a thread, since that imports and blocks, and asked for anew by each request,
        since diagnostics may end, and this process be a fork of the one that asked before.
        Requests that come at the same time share the thread.
        """
        making = self._making
        if making is None or making.wait(0) or self._pid != os.getpid():
            making = self._making = Job(self._diagnostics.application)
            self._pid = os.getpid()
            start_thread(making.perform, "endoscope-mount")
        if not await making.wait_async(_MAKING_SECONDS):
            raise UnavailableError(
                f"diagnostics were not ready within {_MAKING_SECONDS:g} seconds",
                remedy="Ask again; the service's log may say what holds them up.",
            )
        return _outcome(making)


def _outcome(making: Job[Any]) -> Application | None:
    try:
        application: Application | None = making.outcome()
    except EndoscopeError:
        raise
    except Exception as error:
        logger.exception("diagnostics cannot be had on the host's port")
        raise EndoscopeError(
            "diagnostics cannot be had here", remedy="The service's log says why."
        ) from error
    return application


def _refusal(error: EndoscopeError) -> Application:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send_error(scope, receive, send, error)

    return refuse


def _own_path(scope: Scope) -> str:
    """Return the path below `root_path` if it is ours, else nothing.

    ASGI has `root_path` in front of `path`; a server behind a proxy that takes it off has not.
    """
    path: str = scope.get("path", "")  # a lifespan has none
    if PREFIX not in path:  # the host's own requests pay for this much
        return ""
    root: str = scope.get("root_path", "").rstrip("/")
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    return path if mounting.is_ours(path) else ""


def _cannot_be_denied(scope: Scope) -> bool:
    """Whether this is a WebSocket of a server that lets none be answered with an error."""
    extensions = scope.get("extensions") or {}
    return scope["type"] == "websocket" and "websocket.http.response" not in extensions
