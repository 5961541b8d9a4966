from __future__ import annotations

import asyncio
import base64
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope import Access, Granted, Json, Plugin, Refused, Route, hookimpl
from endoscope.access import HostNames
from endoscope.errors import MisdirectedError
from endoscope.listener import Address

SECRET = "test-secret-123"
RIGHT = "Bearer dGVzdC1zZWNyZXQtMTIz"
SECURITY = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'",
}
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{extra}\r\n"
)


def answer(request):
    return Json({"principal": request.principal})


ROUTES = (
    Route("GET", "/look", answer, Access.READ, ""),
    Route("POST", "/act", answer, Access.ACT, ""),
)


def authenticator(verdict):
    class Authenticator(Plugin):
        @hookimpl
        def endoscope_authenticate(self, request):
            return verdict(request)

    return Authenticator


def assert_refused(reply):
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == 'Bearer realm="diagnostics"'
    assert reply.headers["content-type"] == "application/json"
    assert {name: reply.headers[name] for name in SECURITY} == SECURITY
    body = reply.json()
    assert sorted(body) == ["code", "error", "remedy", "status"]
    assert (body["status"], body["code"]) == (401, "unauthorized")


# --- the bearer scheme ----------------------------------------------------------------------------


@pytest.fixture
def bearer(serve, install):
    """Serve behind the real `endoscope-auth`, where that is installed."""
    auth = pytest.importorskip("endoscope_auth")
    return serve({"bearer": auth.AuthPlugin}, routes=ROUTES, door=None)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_secret_opens_the_door(bearer, scheme):
    reply = bearer.ask("/probe/look", authorization=RIGHT.replace("Bearer", scheme))
    assert (reply.status, reply.json()) == (200, {"principal": "bearer"})


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dGVzdC1zZWNyZXQtMTIz",
        "Bearer test-secret-123",
        "Bearer " + base64.b64encode(b"wrong-secret-12").decode(),
        "Bearer " + base64.b64encode(SECRET.encode() + b"\n").decode(),
        "Bearer " + base64.b64encode(b"x" * 200).decode(),
        RIGHT + "=",
        RIGHT + " " + RIGHT,
        "Bearer dGVzdC1zZWNyZXQtMTIz\xe4",
        "Bearer !!!!",
        "dGVzdC1zZWNyZXQtMTIz",
    ],
)
def test_every_failure_looks_the_same(bearer, authorization):
    assert_refused(bearer.ask("/probe/look", authorization=authorization))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/probe/look"),
        ("POST", "/probe/look"),
        ("GET", "/no/such/path"),
        ("GET", "!/"),
        ("GET", "!/elsewhere"),
        ("OPTIONS", ""),
        ("TRACE", ""),
        ("PROPFIND", "/%2e%2e%2f"),
        ("DELETE", "/plugins"),
    ],
)
def test_every_request_is_judged_wherever_it_goes(serve, method, path):
    assert_refused(serve(routes=ROUTES).ask(path, method, authorization=None))


def test_head_without_credentials(serve):
    reply = serve().ask("", "HEAD", authorization=None)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == 'Bearer realm="diagnostics"'
    assert reply.body == b""


def test_two_authorization_headers(bearer):
    received = bearer.raw(
        f"GET /diagnostics HTTP/1.1\r\nHost: localhost\r\nAuthorization: {RIGHT}\r\n"
        f"Authorization: Bearer eA==\r\nConnection: close\r\n\r\n"
    )
    assert received.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "secret", ["x" * 200, "geheimnis-ä-\u20ac-\U0001f512", " padded ", "a" * 57]
)
def test_secrets_of_any_kind(serve, section, secret):
    auth = pytest.importorskip("endoscope_auth")
    service = serve({"bearer": auth.AuthPlugin}, door=None, shared_secret=secret)
    token = base64.b64encode(secret.encode()).decode()
    assert service.ask(authorization=f"Bearer {token}").status == 200
    assert_refused(service.ask(authorization=RIGHT))


# --- WebSockets and protocols ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/diagnostics", "/elsewhere", "/diagnostics/probe/look"])
def test_a_websocket_is_refused_like_everything_else(serve, path):
    service = serve(routes=ROUTES)
    received = service.raw(UPGRADE.format(path=path, extra=""))
    assert received.startswith(b"HTTP/1.1 401 ")
    assert b'www-authenticate: Bearer realm="diagnostics"' in received.replace(b"WWW-A", b"www-a")
    assert b'"code": "unauthorized"' in received


def test_a_websocket_with_credentials_finds_nothing(serve):
    service = serve()
    received = service.raw(UPGRADE.format(path="/diagnostics", extra=f"Authorization: {RIGHT}\r\n"))
    assert received.startswith(b"HTTP/1.1 404 ")
    assert b"no WebSocket is served here" in received


def test_http2_does_not_get_past_the_door(serve):
    """A client may begin with HTTP/2 in clear text: it gets frames, or nothing, but no data."""
    service = serve(routes=(Route("GET", "/look", lambda _: Json("INSIDE"), Access.READ, ""),))
    upgrade = (
        "GET /diagnostics/probe/look HTTP/1.1\r\nHost: localhost\r\n"
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    )
    assert b"INSIDE" not in service.raw(upgrade)
    assert service.ask("/probe/look").status == 200


# --- the Host header ------------------------------------------------------------------------------


def with_hosts(*hosts, path="/diagnostics", authorization=RIGHT):
    lines = [f"GET {path} HTTP/1.1", *(f"Host: {host}" for host in hosts)]
    lines += [f"Authorization: {authorization}", "Connection: close", "", ""]
    return "\r\n".join(lines)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:99", "127.0.0.1", "127.0.0.1:1", "[::1]:8089", "10.1.2.3", "a.example",
     "A.Example:443", "a.example."],
)  # fmt: skip
def test_hosts_that_are_ours(serve, host):
    service = serve(allowed_hosts=["a.example"])
    assert service.raw(with_hosts(host)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8089", "a.example.evil", "xa.example", "", "127.0.0.1.evil",
     "localhost.evil", "user@a.example"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/diagnostics", "/no/such/path"])
def test_hosts_that_are_somebody_else_s(serve, host, path):
    received = serve(allowed_hosts=["a.example"]).raw(with_hosts(host, path=path))
    assert received.startswith((b"HTTP/1.1 421 ", b"HTTP/1.1 400 "))
    assert b'"service"' not in received


def test_a_foreign_host_is_a_421_with_the_one_shape(serve):
    reply = serve().ask(headers={"Host": "evil.example"})
    assert reply.status == 421
    assert reply.json()["code"] == "misdirected"
    assert {name: reply.headers[name] for name in SECURITY} == SECURITY


def test_a_foreign_host_without_credentials_is_a_401(serve):
    assert_refused(serve().ask(headers={"Host": "evil.example"}, authorization=None))


@pytest.mark.parametrize("hosts", [("localhost", "evil.example"), ("localhost", "localhost"), ()])
def test_two_hosts_or_none(serve, hosts):
    received = serve().raw(with_hosts(*hosts))
    assert received.startswith((b"HTTP/1.1 421 ", b"HTTP/1.1 400 "))
    assert b'"service"' not in received


def test_a_unix_socket_does_not_look_at_the_host(serve, tmp_path):
    service = serve(listen=f"unix:{tmp_path}/s")
    assert service.ask(headers={"Host": "anything.example"}).status == 200


def scope_with(host: str):
    return {"headers": [(b"host", host.encode("latin-1"))]}


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=30))
def test_any_host_is_ours_or_misdirected(host):
    names = HostNames(Address("127.0.0.1", 1), ["a.example"])
    try:
        names.check(scope_with(host))
    except MisdirectedError:
        return
    bare = host.lower()
    ours = bare.startswith(("localhost", "a.example", "[")) or bare[:1].isdigit()
    assert ours, host


@given(st.from_regex(r"[a-z]([a-z0-9-]{0,10}\.){1,3}[a-z]{2,8}(:[0-9]{1,5})?", fullmatch=True))
def test_no_foreign_name_passes(host):
    names = HostNames(Address("127.0.0.1", 1), [])
    if host.partition(":")[0] != "localhost":
        with pytest.raises(MisdirectedError):
            names.check(scope_with(host))


# --- the log --------------------------------------------------------------------------------------


def test_a_refusal_is_logged_with_address_method_and_path_and_no_credential(serve, caplog):
    service = serve()
    hidden = base64.b64encode(b"hunter2-hunter2").decode()
    service.ask("/plugins?token=hunter2-query", authorization=f"Bearer {hidden}")
    (record,) = [r for r in caplog.records if r.name == "endoscope.access"]
    message = record.getMessage()
    assert message == "refused 127.0.0.1 GET /diagnostics/plugins: wrong secret"
    assert hidden not in caplog.text
    assert "hunter2" not in caplog.text


def test_a_logged_path_stays_one_short_line(serve, caplog):
    service = serve()
    service.ask("/x%0aFAKE%20LINE%1b[31m" + "a" * 5000, authorization=None)
    (record,) = [r for r in caplog.records if r.name == "endoscope.access"]
    message = record.getMessage()
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 1000


def test_a_unix_client_is_called_so(serve, tmp_path, caplog):
    serve(listen=f"unix:{tmp_path}/s").ask(authorization=None)
    assert "refused unix GET /diagnostics: no credentials" in caplog.text


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verdict",
    [
        lambda _: None,
        lambda _: Refused("no"),
        lambda _: True,
        lambda _: "granted",
        lambda _: Granted("x", None),
        lambda _: 1 / 0,
        lambda _: (_ for _ in ()).throw(SystemExit(0)),
        lambda _: (_ for _ in ()).throw(KeyboardInterrupt()),
        lambda _: (_ for _ in ()).throw(asyncio.CancelledError()),
        lambda _: [Granted("x"), Refused("no")],
    ],
)
def test_who_does_not_clearly_grant_has_refused(serve, verdict):
    service = serve({"other": authenticator(verdict)}, door=None)
    assert_refused(service.ask())
    assert_refused(service.ask())


@pytest.mark.parametrize("verdict", [lambda _: Refused("no"), lambda _: 1 / 0, lambda _: 5])
def test_one_that_refuses_refuses_for_all(serve, verdict):
    service = serve({"other": authenticator(verdict)})
    assert_refused(service.ask())


def test_one_that_abstains_leaves_it_to_the_others(serve):
    assert serve({"other": authenticator(lambda _: None)}).ask().status == 200


def test_an_authenticator_that_hangs_has_refused(serve, monkeypatch):
    monkeypatch.setattr("endoscope.access._AUTHENTICATION_SECONDS", 0.2)
    gate = threading.Event()
    service = serve({"other": authenticator(lambda _: gate.wait(30) and None)})
    assert_refused(service.ask())
    gate.set()


def test_access_is_what_all_grant(serve):
    service = serve(
        {"reader": authenticator(lambda _: Granted("reader", frozenset({Access.READ})))},
        routes=ROUTES,
    )
    assert service.ask("/probe/look").status == 200
    reply = service.ask("/probe/act", "POST")
    assert (reply.status, reply.json()["code"]) == (403, "forbidden")
    assert "act" in reply.json()["error"]


def test_an_authenticator_sees_what_was_sent(serve):
    seen = []

    def note(request):
        seen.append(request)
        return Granted("x")

    service = serve({"other": authenticator(note)}, door=None)
    service.ask("/a%20b?c=d", "POST", headers={"X-Example": "1"}, body=b"hidden")
    (request,) = seen
    assert (request.method, request.path, request.client) == (
        "POST",
        "/diagnostics/a b",
        "127.0.0.1",
    )
    assert request.headers["x-example"] == ("1",)


def test_without_an_authenticator_nothing_is_served(serve):
    from endoscope import StartError

    with pytest.raises(StartError, match="no authenticator is installed") as caught:
        serve(door=None)
    assert "pip install endoscope-auth" in caught.value.remedy


def test_unless_that_was_asked_for(serve, caplog):
    service = serve(door=None, allow_unauthenticated=True, routes=ROUTES)
    assert service.ask("/probe/look", authorization=None).json() == {"principal": "anonymous"}
    assert "whoever reaches 127.0.0.1:0 may do everything" in caplog.text
    assert service.ask(headers={"Host": "evil.example"}, authorization=None).status == 421


# --- time -----------------------------------------------------------------------------------------


def test_failures_are_held_but_never_refused_for_their_number(serve):
    service = serve()
    replies = []

    def fail():
        replies.append(service.ask(authorization=None).status)

    threads = [threading.Thread(target=fail) for _ in range(90)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [401] * 90


def test_a_failure_is_answered_late(serve):
    service = serve()
    service.ask()
    began = time.monotonic()
    service.ask(authorization=None)
    assert time.monotonic() - began >= 0.09


def test_valid_credentials_are_judged_while_every_worker_is_held_up(serve, eventually):
    gate, entered = threading.Event(), []

    def hold(_):
        entered.append(1)
        gate.wait(30)
        return Json("done")

    service = serve(routes=(Route("GET", "/hold", hold, Access.READ, ""),))
    threads = [threading.Thread(target=service.ask, args=("/probe/hold",)) for _ in range(12)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(entered) == 8)
    assert_refused(service.ask(authorization=None))
    reply = service.ask("/no/such/path")
    assert reply.status == 404, "judged at once, and answered without a worker"
    gate.set()
    for thread in threads:
        thread.join()


def test_a_body_without_credentials_is_not_waited_for(serve):
    service = serve(routes=ROUTES)
    with service.connect() as client:
        client.sendall(
            b"POST /diagnostics/probe/act HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 50000\r\n\r\n"
        )
        client.settimeout(10)
        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_connections_are_kept_for_the_next_request(serve):
    service = serve()
    with service.connect() as client:
        for _ in range(3):
            client.sendall(service.request_line("/diagnostics/nothing", close=False).encode())
            received = b""
            while b"code" not in received:
                received += client.recv(65536)
            assert received.startswith(b"HTTP/1.1 404 ")
        assert isinstance(client, socket.socket)
