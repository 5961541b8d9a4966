"""What the plugins contribute, as a Quart app. No logic of its own."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from quart import Quart, Response
from quart import request as current
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from endoscope.access import SECURITY_HEADERS, check_access
from endoscope.answers import discard, error_response, to_response
from endoscope.contributions import PREFIX, Answer, Granted, Request, Route
from endoscope.errors import (
    BadRequestError,
    EndoscopeError,
    MethodNotAllowedError,
    NotFoundError,
    TooLargeError,
)
from endoscope.workers import Workers

_HANDLER_SECONDS = 60.0
_LARGEST_BODY = 64 * 1024
_BODY_SECONDS = 60.0
_FIELD = re.compile(r"\{(\w+)\}")

logger = logging.getLogger("endoscope.app")


def build_app(routes: Mapping[str, tuple[Route, ...]], workers: Workers, streams: Workers) -> Quart:
    """Build the app from routes by prefix: `{"/memory": (Route(...), ...)}`.

    Handlers run on `workers`; what they stream is made on `streams`.
    """
    app = Quart("endoscope", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY
    app.config["RESPONSE_TIMEOUT"] = None
    # Quart's own limit is a `wait_for`, which before Python 3.12 swallows a cancellation: a
    # client that had left would be served to the end.
    app.config["BODY_TIMEOUT"] = None
    app.url_map.merge_slashes = False
    for prefix, contributed in routes.items():
        for route in contributed:
            _add(app, prefix, route, workers, streams)
    app.register_error_handler(EndoscopeError, _on_error)
    app.register_error_handler(HTTPException, _on_http_exception)
    app.register_error_handler(Exception, _on_bug)
    app.after_request(_secure)
    return app


def _add(app: Quart, prefix: str, route: Route, workers: Workers, streams: Workers) -> None:
    app.add_url_rule(
        PREFIX + prefix + _FIELD.sub(r"<\1>", route.path),
        endpoint=f"{route.method} {prefix}{route.path}",
        view_func=_view(route, workers, streams),
        methods=[route.method],
        provide_automatic_options=False,
        strict_slashes=True,
    )


def _view(route: Route, workers: Workers, streams: Workers) -> Callable[..., Awaitable[Response]]:
    async def view(**path_parameters: str) -> Response:
        check_access(_granted(), route.access)
        request = await _request(route, path_parameters)

        def call() -> Answer:
            return route.handler(request)

        answer = await workers.run(call, _HANDLER_SECONDS, discard)
        return to_response(answer, current, streams)

    return view


def _granted() -> Granted:
    scope: Any = current.scope
    granted: Granted = scope["endoscope.granted"]
    return granted


async def _request(route: Route, path_parameters: Mapping[str, str]) -> Request:
    return Request(
        method=current.method,
        path=current.path,
        path_parameters=path_parameters,
        query=_query(route),
        headers={name.lower(): value for name, value in current.headers.items()},
        body=await _body(),
        principal=_granted().principal,
    )


async def _body() -> bytes:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body: Any = await current.get_data(as_text=False)
    except TimeoutError:
        raise BadRequestError(
            f"the body did not arrive within {_BODY_SECONDS:g} seconds", remedy="Send it at once."
        ) from None
    return bytes(body)


def _query(route: Route) -> dict[str, str]:
    """Return the query's parameters, each known to the route and given once."""
    known = {parameter.name: parameter for parameter in route.parameters}
    query: dict[str, str] = {}
    for name, value in current.args.items(multi=True):
        if name not in known:
            listed = ", ".join(known) or "none"
            raise BadRequestError(
                f"the query parameter {name!r} is unknown here",
                remedy=f"This route takes: {listed}.",
                code="unknown_parameter",
            )
        if name in query:
            raise BadRequestError(
                f"the query parameter {name!r} is given twice", remedy="Give it once."
            )
        choices = known[name].choices
        if choices and value not in choices:
            raise BadRequestError(
                f"{name}={value!r} is not possible here",
                remedy=f"Use one of: {', '.join(choices)}.",
                code="bad_parameter",
            )
        query[name] = value
    return query


async def _secure(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _on_error(error: EndoscopeError) -> Response:
    return error_response(error)


async def _on_http_exception(error: HTTPException) -> Response:
    if isinstance(error, MethodNotAllowed):
        allowed = tuple(sorted(error.valid_methods or ()))
        return error_response(
            MethodNotAllowedError(
                f"{current.method} is not possible here",
                allowed=allowed,
                remedy=f"Use {' or '.join(allowed)}.",
            )
        )
    if isinstance(error, RequestEntityTooLarge):
        return error_response(
            TooLargeError(
                f"the body is larger than {_LARGEST_BODY} bytes",
                remedy="No route takes more than a few lines of JSON.",
            )
        )
    if error.code is not None and error.code not in (404, 308):
        return error_response(
            BadRequestError(error.description or error.name, remedy="Correct the request.")
        )
    return error_response(
        NotFoundError("nothing is at this path", remedy=f"GET {PREFIX} lists what can be asked.")
    )


async def _on_bug(error: Exception) -> Response:
    """Answer with a 500 that tells nothing of the inside; the log has the rest."""
    logger.error("a handler failed", exc_info=error)
    return error_response(
        EndoscopeError("the handler failed", remedy="The service's log says where.")
    )
