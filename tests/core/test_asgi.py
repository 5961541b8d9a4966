from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest

from endoscope import Access, ByteStream, Json, Route, StartError, asgi
from endoscope.asgi import DiagnosticsMiddleware

RIGHT = b"Bearer dGVzdC1zZWNyZXQtMTIz"
SECURITY = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'",
}


class HostApplication:
    """The host's: keeps what it is called with, and answers with its name."""

    def __init__(self):
        self.calls = []

    async def __call__(self, scope, receive, send):
        self.calls.append((scope, receive, send))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"the host"})


class Exchange:
    """One request as a server hands it over, and what it is answered."""

    def __init__(self, path, *, kind="http", method="GET", host="localhost", authorization=RIGHT,
                 body=b"", **scope):  # fmt: skip
        headers = [(b"host", host.encode())]
        if authorization is not None:
            headers.append((b"authorization", authorization))
        self.scope = {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("192.0.2.1", 1),
            **scope,
        }
        self.sent = []
        self.gone, self.flowing = asyncio.Event(), asyncio.Event()
        self._coming = [{"type": "http.request", "body": body}]

    async def receive(self):
        if self._coming:
            return self._coming.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)
        if len(self.sent) == 10:
            self.flowing.set()

    async def run(self, application):
        await application(self.scope, self.receive, self.send)
        return self

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return {name.decode().lower(): v.decode() for name, v in self.sent[0]["headers"]}

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def ask(application, path="/diagnostics", **how):
    return asyncio.run(Exchange(path, **how).run(application))


@pytest.fixture
def host():
    return HostApplication()


@pytest.fixture
def mounted(serve, host):
    """Return the host's application with diagnostics in it: `mounted(routes=..., **settings)`."""
    return lambda **how: DiagnosticsMiddleware(host, serve(**how).diagnostics)


# --- whose request it is --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("http", "/"),
        ("http", "/diagnosticsX"),
        ("http", "/a/diagnostics"),
        ("http", "//diagnostics"),
        ("http", "/Diagnostics"),
        ("websocket", "/socket"),
    ],
)
def test_what_is_the_host_s_goes_there_untouched(mounted, host, kind, path):
    exchange = Exchange(path, kind=kind)
    before = dict(exchange.scope)
    asyncio.run(exchange.run(mounted()))
    [(scope, receive, send)] = host.calls
    assert scope is exchange.scope
    assert scope == before
    assert (receive, send) == (exchange.receive, exchange.send)


def test_the_lifespan_is_the_host_s(mounted, host):
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
    asyncio.run(mounted()(scope, None, None))
    assert host.calls == [(scope, None, None)]


@pytest.mark.parametrize("path", ["/diagnostics", "/diagnostics/plugins"])
def test_what_is_ours_is_answered(mounted, host, path):
    exchange = ask(mounted(), path)
    assert exchange.status == 200
    assert json.loads(exchange.body)
    assert host.calls == []


@pytest.mark.parametrize(
    ("root_path", "path", "ours"),
    [
        ("/api", "/api/diagnostics", True),
        ("/api/", "/api/diagnostics/plugins", True),
        ("/api", "/diagnostics", True),
        ("/api", "/apidiagnostics", False),
        ("/api", "/other/diagnostics", False),
        ("/diagnostics", "/diagnostics/orders", False),
        ("/diagnostics", "/diagnostics", False),
        ("/diagnostics", "/diagnostics/diagnostics", True),
    ],
)
def test_the_root_path_is_not_part_of_ours(mounted, host, root_path, path, ours):
    exchange = ask(mounted(), path, root_path=root_path)
    assert exchange.status == 200
    assert len(host.calls) == (not ours)
    if ours:
        assert json.loads(exchange.body)


def test_the_host_s_scope_is_not_written_into(mounted):
    exchange = Exchange("/api/diagnostics", root_path="/api")
    before = dict(exchange.scope)
    asyncio.run(exchange.run(mounted()))
    assert exchange.scope == before


# --- who may ask ----------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [None, b"Bearer wrong", b""])
@pytest.mark.parametrize("path", ["/diagnostics", "/diagnostics/no/such"])
def test_without_the_secret(mounted, path, authorization):
    exchange = ask(mounted(), path, authorization=authorization)
    assert exchange.status == 401
    assert exchange.headers["www-authenticate"] == 'Bearer realm="diagnostics"'
    assert {name: exchange.headers[name] for name in SECURITY} == SECURITY
    assert json.loads(exchange.body)["code"] == "unauthorized"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "unix:{}/s"])
def test_a_name_that_is_not_ours(mounted, tmp_path, listen):
    application = mounted(listen=listen.format(tmp_path), allowed_hosts=["shop.example"])
    assert ask(application, host="shop.example:443").status == 200
    exchange = ask(application, host="evil.example")
    assert exchange.status == 421
    assert "`allowed_hosts`" in json.loads(exchange.body)["remedy"]
    assert {name: exchange.headers[name] for name in SECURITY} == SECURITY


def test_what_lets_everybody_in_is_not_let_out_to_the_host_s_port(serve, host):
    service = serve(door=None, allow_unauthenticated=True)
    with pytest.raises(StartError, match="no authenticator") as caught:
        DiagnosticsMiddleware(host, service.diagnostics)
    assert "endoscope-auth" in caught.value.remedy


@pytest.mark.parametrize(("authorization", "status"), [(RIGHT, 404), (None, 401)])
def test_a_websocket_is_denied(mounted, host, authorization, status):
    extensions = {"websocket.http.response": {}}
    exchange = ask(mounted(), kind="websocket", authorization=authorization, extensions=extensions)
    assert exchange.status == status
    assert host.calls == []


def test_a_websocket_that_cannot_be_denied_is_closed(mounted, host):
    assert ask(mounted(), kind="websocket").sent == [{"type": "websocket.close"}]
    assert host.calls == []


# --- how the application comes to be --------------------------------------------------------------


def test_not_enabled(host, install):
    import endoscope

    diagnostics = endoscope.start(settings={"enabled": False})
    assert ask(DiagnosticsMiddleware(host, diagnostics)).body == b"the host"


def test_stopped_and_started_again(serve, host):
    diagnostics = serve().diagnostics
    application = DiagnosticsMiddleware(host, diagnostics)
    assert json.loads(ask(application).body)
    diagnostics.stop()
    assert ask(application).body == b"the host"
    diagnostics.start()
    assert json.loads(ask(application).body)


def test_it_is_made_once_and_never_on_the_host_s_loop(serve, host, monkeypatch):
    diagnostics = serve().diagnostics
    make, makers, longest = diagnostics.application, [], 0.0

    def slow():
        makers.append(threading.get_ident())
        time.sleep(1)
        return make()

    async def tick():
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)

    async def ten_at_once():
        application = DiagnosticsMiddleware(host, diagnostics)
        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0.02)
        requests = [Exchange("/diagnostics").run(application) for _ in range(10)]
        done = await asyncio.gather(*requests)
        ticking.cancel()
        return [exchange.status for exchange in done]

    monkeypatch.setattr(diagnostics, "application", slow)
    assert asyncio.run(ten_at_once()) == [200] * 10
    assert len(makers) == 1
    assert makers[0] != threading.get_ident()
    assert longest < 0.9


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StartError("no place", remedy="Make some."), "no place"),
        (ValueError("xyz"), "cannot be had"),
    ],
)
def test_one_that_cannot_be_made_is_an_error_of_the_one_shape(
    serve, host, monkeypatch, caplog, error, told
):
    def fail():
        raise error

    diagnostics = serve().diagnostics
    monkeypatch.setattr(diagnostics, "application", fail)
    exchange = ask(DiagnosticsMiddleware(host, diagnostics))
    assert exchange.status == 500
    assert told in json.loads(exchange.body)["error"]
    assert b"xyz" not in exchange.body
    assert ("xyz" in caplog.text) == isinstance(error, ValueError)


def test_one_that_takes_for_ever_is_waited_for_on_one_thread_only(serve, host, monkeypatch):
    diagnostics, release, calls = serve().diagnostics, threading.Event(), []

    def hang():
        calls.append(1)
        release.wait(20)

    monkeypatch.setattr(diagnostics, "application", hang)
    monkeypatch.setattr(asgi, "_MAKING_SECONDS", 0.1)
    application = DiagnosticsMiddleware(host, diagnostics)
    try:
        for _ in range(3):
            exchange = ask(application)
            assert (exchange.status, json.loads(exchange.body)["code"]) == (503, "unavailable")
        assert len(calls) == 1
    finally:
        release.set()


# --- bodies ---------------------------------------------------------------------------------------


def test_a_body_is_received(mounted):
    def echo(request):
        return Json({"length": len(request.body)})

    application = mounted(routes=(Route("POST", "/echo", echo, Access.ACT, ""),))
    exchange = ask(application, "/diagnostics/probe/echo", method="POST", body=b"x" * 60_000)
    assert json.loads(exchange.body) == {"length": 60_000}
    too_large = ask(application, "/diagnostics/probe/echo", method="POST", body=b"x" * 70_000)
    assert too_large.status == 413


def endless(closed):
    def chunks():
        try:
            while True:
                yield b"x" * 1000
        finally:
            closed.set()

    return Route("GET", "/endless", lambda _: ByteStream(chunks(), "x.bin"), Access.READ, "")


def test_a_client_who_leaves_ends_what_is_made_for_it(mounted):
    closed = threading.Event()
    application = mounted(routes=(endless(closed),))

    async def leave():
        exchange = Exchange("/diagnostics/probe/endless")
        serving = asyncio.create_task(exchange.run(application))
        await exchange.flowing.wait()
        exchange.gone.set()
        await asyncio.wait_for(serving, 10)

    asyncio.run(leave())
    assert closed.wait(10)


def test_a_client_who_is_slow_is_waited_for(mounted):
    made = []

    def chunks():
        while True:
            made.append(1)
            yield b"x"

    route = Route("GET", "/endless", lambda _: ByteStream(chunks(), "x.bin"), Access.READ, "")
    application = mounted(routes=(route,))

    async def stall():
        exchange = Exchange("/diagnostics/probe/endless")

        async def send(message):
            exchange.sent.append(message)
            if len(exchange.sent) == 4:  # the head and three chunks, and not a byte more
                await asyncio.Event().wait()

        exchange.send = send
        serving = asyncio.create_task(exchange.run(application))
        await asyncio.sleep(1)
        exchange.gone.set()
        await asyncio.wait_for(serving, 10)

    asyncio.run(stall())
    assert 3 <= len(made) <= 5


def test_what_breaks_off_is_not_taken_for_whole(mounted):
    def chunks():
        yield b"the beginning"
        raise OSError("the disk is gone")

    route = Route("GET", "/half", lambda _: ByteStream(chunks(), "x.bin"), Access.READ, "")
    application = mounted(routes=(route,))
    exchange = Exchange("/diagnostics/probe/half")
    with pytest.raises(Exception, match="the disk is gone"):
        asyncio.run(exchange.run(application))
    assert exchange.sent[-1]["more_body"] is True
