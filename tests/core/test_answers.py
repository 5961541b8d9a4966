from __future__ import annotations

import io
import subprocess
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endoscope import Access, ByteStream, FileContent, Json, Route, Text

CONTENT = bytes(range(256)) * 4000
RIGHT = "Authorization: Bearer dGVzdC1zZWNyZXQtMTIz"


def get(path, handler):
    return Route("GET", path, handler, Access.READ, "")


class Files:
    """Answers with a file, and remembers each that it opened."""

    def __init__(self, path):
        self.path = path
        self.opened = []

    def __call__(self, request):
        file = self.path.open("rb")
        self.opened.append(file)
        return FileContent(file, self.path.stat().st_size, self.path.name)


@pytest.fixture
def files(tmp_path):
    path = tmp_path / "content.bin"
    path.write_bytes(CONTENT)
    return Files(path)


@pytest.fixture
def service(serve, files):
    return serve(routes=(get("/file", files),))


def ranged(service, value, **headers):
    return service.ask("/probe/file", headers={"Range": value, **headers})


# --- JSON and text --------------------------------------------------------------------------------


def test_json_and_text(serve):
    service = serve(
        routes=(
            get("/json", lambda _: Json({"ä": [1, None, "\u20ac"]}, status=207)),
            get("/text", lambda _: Text("ä\n", "text/csv", status=201)),
        )
    )
    reply = service.ask("/probe/json")
    assert (reply.status, reply.json()) == (207, {"ä": [1, None, "€"]})
    assert reply.headers["content-type"] == "application/json"
    assert "ä".encode() in reply.body
    reply = service.ask("/probe/text")
    assert (reply.status, reply.body.decode()) == (201, "ä\n")
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"


def test_a_name_that_is_no_text_arrives_nevertheless(serve):
    service = serve(
        routes=(
            get("/json", lambda _: Json({"path": "/tmp/\udcff"})),
            get("/text", lambda _: Text("/tmp/\udcff")),
        )
    )
    assert service.ask("/probe/json").json() == {"path": "/tmp/\udcff"}
    assert service.ask("/probe/text").body == b"/tmp/\\udcff"


@pytest.mark.parametrize("nonsense", [None, {"a": 1}, "text", b"bytes", Json(object()), Json, 5])
def test_a_handler_that_returns_no_answer(serve, nonsense, caplog):
    service = serve(routes=(get("/x", lambda _: nonsense),))
    reply = service.ask("/probe/x")
    assert (reply.status, reply.json()["code"]) == (500, "internal_error")
    assert reply.json()["error"] == "the handler failed"
    assert "a handler failed" in caplog.text


# --- files ----------------------------------------------------------------------------------------


def test_a_file_arrives_whole(service, files, eventually):
    reply = service.ask("/probe/file")
    assert reply.status == 200
    assert reply.body == CONTENT
    assert reply.headers["content-length"] == str(len(CONTENT))
    assert reply.headers["content-disposition"] == 'attachment; filename="content.bin"'
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["content-security-policy"] == "default-src 'none'"
    assert eventually(lambda: all(file.closed for file in files.opened))


@pytest.mark.parametrize(
    ("value", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-199", 100, 200),
        ("bytes=1023999-", 1023999, 1024000),
        ("bytes=0-", 0, 1024000),
        ("bytes=5-99999999", 5, 1024000),
        ("bytes=-1", 1023999, 1024000),
        ("bytes=-9999999", 0, 1024000),
        ("Bytes=1-2", 1, 3),
    ],
)
def test_one_range(service, value, start, stop):
    reply = ranged(service, value)
    assert reply.status == 206
    assert reply.body == CONTENT[start:stop]
    assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    assert reply.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("value", ["bytes=1024000-", "bytes=2000000-2000001", "bytes=-0"])
def test_a_range_outside_of_the_file(service, files, eventually, value):
    reply = ranged(service, value)
    assert (reply.status, reply.json()["code"]) == (416, "range_not_satisfiable")
    assert reply.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert eventually(lambda: all(file.closed for file in files.opened))


@pytest.mark.parametrize(
    "value",
    ["bytes=0-1,5-6", "bytes=5-1", "bytes=-", "bytes=", "lines=0-1", "bytes=a-b", "bytes=1", "-1",
     "bytes=--1", "bytes=0-1 ", "bytes=" + "9" * 30 + "-", "", "bytes=\xb2-\xb3"],
)  # fmt: skip
def test_what_is_not_one_range_gets_the_whole(service, value):
    reply = ranged(service, value)
    if value == "bytes=0-1 ":
        assert (reply.status, reply.body) == (206, CONTENT[:2])
    else:
        assert (reply.status, len(reply.body)) == (200, len(CONTENT))


def test_if_range(service, files):
    etag = service.ask("/probe/file").headers["etag"]
    assert ranged(service, "bytes=0-9", **{"If-Range": etag}).status == 206
    assert ranged(service, "bytes=0-9", **{"If-Range": '"other"'}).status == 200
    assert ranged(service, "bytes=0-9", **{"If-Range": f"W/{etag}"}).status == 200
    replacement = files.path.with_name("new")
    replacement.write_bytes(CONTENT)
    replacement.replace(files.path)
    reply = ranged(service, "bytes=0-9", **{"If-Range": etag})
    assert (reply.status, len(reply.body)) == (200, len(CONTENT))


def test_head_of_a_file(service, files, eventually):
    for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=9999999-"}):
        reply = service.ask("/probe/file", "HEAD", headers=headers)
        assert (reply.status, reply.body) == (200, b"")
        assert reply.headers["content-length"] == str(len(CONTENT))
    assert eventually(lambda: all(file.closed for file in files.opened))


def test_an_empty_file(service, files):
    files.path.write_bytes(b"")
    reply = service.ask("/probe/file")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "0")
    assert ranged(service, "bytes=0-").status == 416
    assert ranged(service, "bytes=-5").status == 416


def test_a_file_that_grows_while_it_is_sent(serve, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")

    def open_then_grow(_):
        file = path.open("rb")
        path.write_bytes(b"0123456789" * 2)
        return FileContent(file, 10, "x")

    assert serve(routes=(get("/f", open_then_grow),)).ask("/probe/f").body == b"0123456789"


@pytest.mark.parametrize(
    ("name", "sent"),
    [('a"b', "a_b"), ("a\r\nX: y", "a__X__y"), ("ä", "_"), ("a/../b", "a_.._b"), ("a b", "a_b")],
)
def test_names_are_made_safe_for_a_header(serve, name, sent):
    service = serve(routes=(get("/s", lambda _: ByteStream(iter([b"x"]), name)),))
    reply = service.ask("/probe/s")
    assert reply.headers["content-disposition"] == f'attachment; filename="{sent}"'
    assert "x" not in reply.headers


def test_what_is_no_real_file(serve):
    service = serve(routes=(get("/f", lambda _: FileContent(io.BytesIO(b"x"), 1, "x")),))
    assert service.ask("/probe/f").status == 500


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.from_regex(r"(bytes=)?[0-9]{0,8}-?[0-9]{0,8}(,[0-9]{0,3}-[0-9]{0,3})?", fullmatch=True))
def test_any_range_is_answered_rightly(service, value):
    reply = ranged(service, value)
    if reply.status == 206:
        first, _, size = reply.headers["content-range"].removeprefix("bytes ").partition("/")
        start, _, last = first.partition("-")
        assert int(size) == len(CONTENT)
        assert reply.body == CONTENT[int(start) : int(last) + 1]
        assert reply.body
    elif reply.status == 200:
        assert reply.body == CONTENT
    else:
        assert reply.status == 416


# --- streams --------------------------------------------------------------------------------------


class Stream:
    """A stream that notes its steps, and its end."""

    def __init__(self, step):
        self._step = step
        self.steps = 0
        self.closed = threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        self.steps += 1
        return self._step(self.steps)

    def close(self):
        self.closed.set()


def ending(after, end):
    def step(number):
        if number <= after:
            return b"x" * 1000
        raise end

    return step


@pytest.fixture
def streaming(serve):
    made = []

    def start(step):
        def handler(_):
            made.append(Stream(step))
            return ByteStream(made[-1], "archive.bin", "application/gzip")

        return serve(routes=(get("/s", handler),)), made

    return start


def curl(service, *arguments):
    address = service.address
    return subprocess.run(
        ["curl", "-sS", "-m", "20", "-H", RIGHT, "-o", "/dev/null", *arguments,
         f"http://{address}/diagnostics/probe/s"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_stream_arrives_whole(streaming):
    service, made = streaming(ending(500, StopIteration))
    reply = service.ask("/probe/s")
    assert (reply.status, len(reply.body)) == (200, 500_000)
    assert reply.headers["transfer-encoding"] == "chunked"
    assert reply.headers["content-type"] == "application/gzip"
    assert "content-length" not in reply.headers
    assert made[0].closed.wait(10)
    assert curl(service).returncode == 0


@pytest.mark.parametrize(
    "error", [ValueError("x"), TimeoutError("x"), SystemExit(0), KeyboardInterrupt()]
)
@pytest.mark.parametrize("after", [0, 1, 300])
def test_a_stream_that_fails_is_broken_off(streaming, error, after):
    service, made = streaming(ending(after, error))
    assert curl(service).returncode in {18, 52, 56}
    assert made[0].closed.wait(10)
    assert service.ask("/nothing").status == 404, "the service goes on"


def test_a_stream_of_something_else_than_bytes_is_broken_off(streaming):
    service, made = streaming(lambda number: object() if number > 1 else b"x" * 1000)
    assert curl(service).returncode in {18, 56}
    assert made[0].closed.wait(10)


def test_a_list_will_do(serve):
    service = serve(routes=(get("/s", lambda _: ByteStream([b"a", b"b"], "x")),))
    assert service.ask("/probe/s").body == b"ab"


def test_a_file_that_shrank_is_broken_off(serve, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    service = serve(routes=(get("/s", lambda _: FileContent(path.open("rb"), 1000, "x")),))
    assert curl(service).returncode in {18, 56}


def test_head_of_a_stream_makes_nothing(streaming):
    service, made = streaming(ending(500, StopIteration))
    reply = service.ask("/probe/s", "HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-disposition"] == 'attachment; filename="archive.bin"'
    assert reply.headers.get("content-length") != "0"
    assert made[0].closed.wait(10)
    assert made[0].steps == 0


def test_a_client_that_leaves_ends_the_work(streaming, eventually):
    service, made = streaming(lambda _: b"x" * 100_000)
    with service.connect() as client:
        client.sendall(service.request_line("/diagnostics/probe/s").encode())
        assert client.recv(1000)
    assert made[0].closed.wait(10)
    steps = made[0].steps
    assert not eventually(lambda: made[0].steps > steps, 0.2)


def test_a_client_that_stalls_holds_no_thread_and_no_memory(streaming, eventually):
    service, made = streaming(lambda _: b"x" * 100_000)
    clients = [service.connect() for _ in range(12)]
    for client in clients:
        client.sendall(service.request_line("/diagnostics/probe/s").encode())
    assert eventually(lambda: len(made) == 12)
    assert service.ask("/../plugins").status == 404
    assert service.ask("/plugins").status == 200, "eight workers, twelve that stall, one served"

    def quiet():
        before = [stream.steps for stream in made]
        return not eventually(lambda: [stream.steps for stream in made] != before, 0.3)

    assert eventually(quiet)
    assert max(stream.steps for stream in made) < 150
    for client in clients:
        client.close()
    assert all(stream.closed.wait(10) for stream in made)


def test_a_client_that_leaves_while_the_handler_works(serve, eventually, tmp_path):
    gate, entered = threading.Event(), threading.Event()
    path = tmp_path / "x"
    path.write_bytes(b"x")
    answers = []

    def slow(request):
        entered.set()
        gate.wait(20)
        stream = Stream(ending(1, StopIteration))
        answers.append(stream)
        return ByteStream(stream, "x")

    service = serve(routes=(get("/s", slow),))
    with service.connect() as client:
        client.sendall(service.request_line("/diagnostics/probe/s").encode())
        assert entered.wait(10)
    assert not eventually(lambda: False, 0.2)
    gate.set()
    assert eventually(lambda: answers and answers[0].closed.is_set())
    assert answers[0].steps == 0


def test_a_pipelined_request_waits_for_its_turn(streaming):
    service, _ = streaming(ending(3, StopIteration))
    line = service.request_line("/diagnostics/probe/s", close=False)
    received = service.raw(line + service.request_line("/diagnostics/nothing"))
    assert received.count(b"HTTP/1.1 200 ") == 1
    assert received.count(b"HTTP/1.1 404 ") == 1


# --- pages ------------------------------------------------------------------------------------


def test_a_page_is_shown_under_its_own_policy(serve, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<p>hello")
    policy = "default-src 'none'; script-src 'sha256-x'"

    def page(_request):
        return FileContent(path.open("rb"), 8, path.name, "text/html; charset=utf-8", policy)

    service = serve(routes=(get("/p", page),))
    answer = service.ask("/probe/p")
    assert answer.headers["content-security-policy"] == policy
    assert answer.headers["content-disposition"] == 'inline; filename="page.html"'
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_is_no_page_keeps_the_strict_policy(serve, files):
    answer = serve(routes=(get("/f", files),)).ask("/probe/f")
    assert answer.headers["content-security-policy"] == "default-src 'none'"
    assert answer.headers["content-disposition"].startswith("attachment")
