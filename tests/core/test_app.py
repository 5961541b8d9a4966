from __future__ import annotations

import json
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endoscope import (
    Access,
    BadRequestError,
    BusyError,
    EndoscopeError,
    Json,
    NoSpaceError,
    NotFoundError,
    NotSupportedError,
    Parameter,
    Plugin,
    Route,
    Text,
    hookimpl,
)

SECURITY = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'",
}


def echo(request):
    return Json(
        {
            "method": request.method,
            "path": request.path,
            "parameters": dict(request.path_parameters),
            "query": dict(request.query),
            "body": request.body.decode("latin-1"),
            "principal": request.principal,
            "example": request.headers.get("x-example"),
        }
    )


def fail(error):
    def handler(request):
        raise error

    return handler


ECHO = (
    Route("GET", "", echo, Access.READ, "The prefix itself"),
    Route("GET", "/items", echo, Access.READ, "Items"),
    Route("DELETE", "/items", echo, Access.ACT, "Clear"),
    Route("GET", "/items/{name}", echo, Access.READ, "One item"),
    Route("POST", "/items/{name}", echo, Access.ACT, "Make an item"),
    Route(
        "GET",
        "/query",
        echo,
        Access.READ,
        "Query",
        (Parameter("format", "how", ("json", "text")), Parameter("free", "anything")),
    ),
)


@pytest.fixture
def service(serve):
    return serve(routes=ECHO)


def assert_error(reply, status, code=None):
    assert reply.status == status
    body = reply.json()
    assert set(body) == {"error", "status", "code", "remedy"}
    assert body["status"] == status
    assert body["error"]
    assert "Traceback" not in reply.body.decode()
    assert reply.headers["content-type"] == "application/json"
    assert {name: reply.headers[name] for name in SECURITY} == SECURITY
    if code:
        assert body["code"] == code
    return body


def test_a_request_reaches_its_handler(service):
    reply = service.ask("/probe/items/a%20b", "POST", headers={"X-Example": "1"}, body=b"\x00body")
    assert reply.json() == {
        "method": "POST",
        "path": "/diagnostics/probe/items/a b",
        "parameters": {"name": "a b"},
        "query": {},
        "body": "\x00body",
        "principal": "tester",
        "example": "1",
    }
    assert {name: reply.headers[name] for name in SECURITY} == SECURITY
    assert "server" not in reply.headers


def test_the_prefix_itself_can_be_a_route(service):
    assert service.ask("/probe").status == 200
    assert_error(service.ask("/probe/"), 404)


@pytest.mark.parametrize("path", ["", "/plugins", "/probe/items"])
def test_head_is_get_without_the_body(service, path):
    whole, head = service.ask(path), service.ask(path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_head_of_what_is_not_there(service):
    reply = service.ask("/nothing", "HEAD")
    assert (reply.status, reply.body) == (404, b"")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/probe/items", "DELETE, GET, HEAD"),
        ("OPTIONS", "/probe/items", "DELETE, GET, HEAD"),
        ("TRACE", "/plugins", "GET, HEAD"),
        ("POST", "", "GET, HEAD"),
        ("DELETE", "/probe/items/x", "GET, HEAD, POST"),
        ("PROPFIND", "/probe/query", "GET, HEAD"),
    ],
)
def test_a_wrong_method_says_which_are_right(service, method, path, allow):
    reply = service.ask(path, method)
    assert_error(reply, 405, "method_not_allowed")
    assert reply.headers["allow"] == allow


@pytest.mark.parametrize(
    "path",
    [
        "!/",
        "!/diagnostic",
        "!/diagnostics/",
        "!/elsewhere",
        "/nothing",
        "/plugins/",
        "//plugins",
        "/probe//items",
        "/probe/items/",
        "/probe/items/a/b",
        "/probe/items/%2e%2e%2fplugins",
        "/probe/items/a%2fb",
        "/probe/../plugins",
        "/PLUGINS",
        "!*",
    ],
)
def test_paths_that_lead_nowhere(service, path):
    assert_error(service.ask(path), 404, "not_found")


@pytest.mark.parametrize(
    "name", ["%00", "%2e%2e", "..", "%ff%fe", "a%0d%0aX:%20y", "x" * 5000, "%25"]
)
def test_a_strange_field_reaches_the_handler_decoded_and_nothing_else(service, name):
    reply = service.ask(f"/probe/items/{name}")
    assert reply.status == 200
    assert "x" not in reply.headers
    assert "/" not in reply.json()["parameters"]["name"]


def test_a_path_without_end(service):
    received = service.raw(service.request_line("/diagnostics/" + "a" * 200_000))
    assert received == b"" or received.split(b" ")[1] in {b"400", b"404", b"414", b"431"}
    assert service.ask("/probe/items").status == 200


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.sampled_from(
            ["/", "..", ".", "%2e", "%2f", "%00", "%", "%zz", "items", "probe", "plugins", "a", ";",
             "\\", "%5c", "~", "*", "&", "[", "|", "%c3%28", ":80", "@"]
        ),
        max_size=12,
    )
)  # fmt: skip
def test_any_path_is_answered_or_refused(service, parts):
    reply = service.ask("!/diagnostics/" + "".join(parts))
    assert reply.status in {200, 404}
    assert reply.status == 200 or reply.json()["code"] == "not_found"


# --- the query ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("", {}),
        ("?", {}),
        ("?format=json", {"format": "json"}),
        ("?free=", {"free": ""}),
        ("?free=a%26b+c&format=text", {"free": "a&b c", "format": "text"}),
    ],
)
def test_known_parameters(service, query, seen):
    assert service.ask("/probe/query" + query).json()["query"] == seen


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?unknown=1", "unknown_parameter"),
        ("?unknown", "unknown_parameter"),
        ("?Format=json", "unknown_parameter"),
        ("?format=xml", "bad_parameter"),
        ("?format=", "bad_parameter"),
        ("?free=1&free=1", "bad_request"),
        ("?=", "unknown_parameter"),
        ("?%00=1", "unknown_parameter"),
    ],
)
def test_other_parameters_are_refused_before_the_handler(service, query, code):
    assert_error(service.ask("/probe/query" + query), 400, code)


def test_a_refused_parameter_says_which_there_are(service):
    body = service.ask("/probe/query?x=1").json()
    assert body["remedy"] == "This route takes: format, free, process."
    body = service.ask("/probe/items?x=1").json()
    assert body["remedy"] == "This route takes: process."


# --- bodies ---------------------------------------------------------------------------------------


def test_the_largest_body(service):
    assert service.ask("/probe/items/x", "POST", body=b"x" * 65536).status == 200


@pytest.mark.parametrize("size", [65537, 5_000_000])
def test_a_body_that_is_too_large(service, size):
    lines = (
        f"POST /diagnostics/probe/items/x HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer dGVzdC1zZWNyZXQtMTIz\r\nContent-Length: {size}\r\n\r\n"
    )
    received = service.raw(lines.encode() + b"x" * min(size, 70_000))
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b'"code": "too_large"' in received


def test_a_chunked_body_that_is_too_large(service):
    lines = (
        "POST /diagnostics/probe/items/x HTTP/1.1\r\nHost: localhost\r\n"
        "Authorization: Bearer dGVzdC1zZWNyZXQtMTIz\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    received = service.raw(lines.encode() + chunk * 4 + b"0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /diagnostics HTTP/9.9\r\n\r\n",
        b"GET /diagnostics HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /diag\x00nostics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /diagnostics HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_harms_nobody(service, raw):
    assert b'"service"' not in service.raw(raw)
    assert service.ask().status == 200


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        BadRequestError("what", remedy="how", code="own_code"),
        NotFoundError("what", remedy="how"),
        BusyError("what", remedy="how"),
        NotSupportedError("what", remedy="how"),
        NoSpaceError("what", remedy="how"),
        EndoscopeError("what", remedy="how"),
    ],
)
def test_an_error_of_ours_is_the_answer(serve, error):
    body = assert_error(
        serve(routes=(Route("GET", "/x", fail(error), Access.READ, ""),)).ask("/probe/x"),
        error.status,
    )
    assert body == {"error": "what", "status": error.status, "code": error.code, "remedy": "how"}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("hidden-detail"),
        SystemExit("hidden-detail"),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration("hidden-detail"),
        TimeoutError("hidden-detail"),
        RecursionError("hidden-detail"),
    ],
)
def test_any_other_error_is_a_500_that_tells_nothing(serve, error, caplog):
    service = serve(routes=(Route("GET", "/x", fail(error), Access.READ, ""),))
    for _ in range(2):
        reply = service.ask("/probe/x")
        assert_error(reply, 500, "internal_error")
        assert "hidden-detail" not in reply.body.decode()
    assert "a handler failed" in caplog.text
    assert service.ask("/plugins").status == 200, "the service goes on"


def test_a_handler_that_takes_too_long(serve, monkeypatch, eventually):
    monkeypatch.setattr("endoscope.app._HANDLER_SECONDS", 0.05)
    gate = threading.Event()
    service = serve(
        routes=(Route("GET", "/x", lambda _: gate.wait(30) and Json(1), Access.READ, ""),)
    )
    for _ in range(16):  # eight threads, and each of them replaced once
        assert_error(service.ask("/probe/x"), 503, "timed_out")
    assert service.ask("/plugins").status == 503, "every worker is held up"
    gate.set()


def test_the_environment_of_the_host_s_own_quart_changes_nothing(serve, monkeypatch):
    monkeypatch.setenv("QUART_DEBUG", "1")
    monkeypatch.setenv("QUART_ENV", "development")
    service = serve(routes=(Route("GET", "/x", fail(ValueError("hidden")), Access.READ, ""),))
    reply = service.ask("/probe/x")
    assert_error(reply, 500)
    assert b"hidden" not in reply.body


# --- the index ------------------------------------------------------------------------------------


def test_the_index_lists_every_route(service):
    index = service.ask().json()
    assert index["service"] == "router"
    assert index["pid"] > 0
    assert index["uptime_seconds"] >= 0
    listed = {(route["method"], route["path"]) for route in index["routes"]}
    own = {("GET", f"/diagnostics{path}") for path in ("", "/plugins", "/processes")}
    assert listed == own | {(route.method, "/diagnostics/probe" + route.path) for route in ECHO}
    query = next(route for route in index["routes"] if route["path"].endswith("/query"))
    process = "id of another process of the service, or all"
    assert query["parameters"] == {"format": "how", "free": "anything", "process": process}
    assert query["access"] == "read"


def test_the_index_for_a_terminal(service):
    reply = service.ask("?format=text")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    text = reply.body.decode()
    assert "DELETE /diagnostics/probe/items " in text
    assert "?format= how" in text


def test_the_plugins_and_what_is_wrong_with_them(serve, installed):
    class Failing(Plugin):
        @hookimpl
        def endoscope_routes(self):
            raise RuntimeError("boom \udcff")

    service = serve({"failing": Failing}, routes=ECHO)
    reports = {report["name"]: report for report in service.ask("/plugins").json()}
    assert set(reports) == {"door", "failing", "probe", *installed}
    assert reports["probe"]["distribution"] == "example-probe"
    assert reports["probe"]["hooks"] == ["endoscope_routes"]
    (failure,) = reports["failing"]["failures"]
    assert failure["hook"] == "endoscope_routes"
    assert "boom" in failure["error"]
    assert all(reports[name]["disabled"] for name in installed)


def test_a_plugin_that_names_itself_after_an_address_of_core_is_left_out(serve):
    class Greedy(Plugin):
        @hookimpl
        def endoscope_routes(self):
            return [Route("GET", "", lambda _: Text("taken"), Access.READ, "")]

    service = serve({"plugins": Greedy})
    reports = service.ask("/plugins").json()
    assert [r["failures"][0]["error"] for r in reports if r["name"] == "plugins"] == [
        "the name 'plugins' is reserved; the plugin's author must choose another"
    ]


def test_bodies_are_json_to_the_last_byte(service):
    for path in ("", "/plugins", "/nothing"):
        assert json.loads(service.ask(path).body.decode("utf-8"))
