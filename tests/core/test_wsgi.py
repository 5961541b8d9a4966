from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import threading
import time
import wsgiref.simple_server
import wsgiref.validate

import pytest

import endoscope
from endoscope import Access, ByteStream, FileContent, Json, Route, StartError, Text, wsgi
from endoscope.wsgi import DiagnosticsMiddleware

RIGHT = "Bearer dGVzdC1zZWNyZXQtMTIz"
CONTENT = bytes(range(256)) * 4000
SECURITY = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'",
}


def host(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the host"]


def request(path="/diagnostics", *, method="GET", body=b"", authorization=RIGHT, **more):
    """Return what a server makes of a request. `body=None`: one that it gives no length of."""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if authorization is not None:
        environ["HTTP_AUTHORIZATION"] = authorization
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    return {**environ, **more}


class Answer:
    """What an application answers, taken up to its end unless `take` says how many chunks."""

    def __init__(self, application, environ, take=None):
        self.status = 0
        self.headers = {}
        self.names = []
        self._closable = iterable = application(environ, self._start)
        chunks = iter(iterable)
        self.chunks = list(chunks if take is None else (next(chunks) for _ in range(take)))
        if take is None:
            self.close()

    def _start(self, status, headers, exc_info=None):
        self.status = int(status.split()[0])
        self.reason = status.partition(" ")[2]
        self.headers = dict(headers)
        self.names = [name.lower() for name, _ in headers]

    def close(self):
        if hasattr(self._closable, "close"):
            self._closable.close()

    @property
    def body(self):
        return b"".join(self.chunks)

    def json(self):
        return json.loads(self.body)


def ask(application, path="/diagnostics", **how):
    return Answer(application, request(path, **how))


@pytest.fixture
def mounted(serve):
    """Return the host's application with diagnostics in it: `mounted(routes=..., **settings)`."""
    return lambda **how: DiagnosticsMiddleware(host, serve(**how).diagnostics)


def get(path, handler):
    return Route("GET", path, handler, Access.READ, "")


# --- whose request it is --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "", "/diagnosticsX", "/a/diagnostics", "//diagnostics"])
def test_what_is_the_host_s_goes_there_untouched(serve, path):
    seen = []

    def keep(*arguments):
        seen.append(arguments)
        return ()

    environ, start_response = request(path), object()
    before = dict(environ)
    assert DiagnosticsMiddleware(keep, serve().diagnostics)(environ, start_response) == ()
    assert seen == [(environ, start_response)]
    assert seen[0][0] is environ
    assert environ == before


def test_what_is_ours_is_answered(mounted):
    answer = ask(mounted())
    assert (answer.status, answer.reason) == (200, "OK")
    assert answer.json()["service"] == "router"


def test_below_the_name_of_a_script(mounted):
    assert ask(mounted(), SCRIPT_NAME="/api").status == 200
    assert ask(mounted(), "/api", SCRIPT_NAME="/diagnostics").body == b"the host"


def test_not_enabled():
    diagnostics = endoscope.start(settings={"enabled": False})
    assert ask(DiagnosticsMiddleware(host, diagnostics)).body == b"the host"


def test_stopped_and_started_again(serve):
    diagnostics = serve().diagnostics
    application = DiagnosticsMiddleware(host, diagnostics)
    diagnostics.stop()
    assert ask(application).body == b"the host"
    diagnostics.start()
    assert ask(application).status == 200


# --- who may ask ----------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", ""])
def test_without_the_secret(mounted, authorization):
    answer = ask(mounted(), authorization=authorization)
    assert (answer.status, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="diagnostics"'


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "unix:{}/s"])
@pytest.mark.parametrize("more", [{}, {"HTTP_CONNECTION": "host"}])
def test_a_name_that_is_not_ours(mounted, tmp_path, listen, more):
    application = mounted(listen=listen.format(tmp_path), allowed_hosts=["shop.example"])
    assert ask(application, HTTP_HOST="shop.example:443", **more).status == 200
    answer = ask(application, HTTP_HOST="evil.example", **more)
    assert answer.status == 421
    assert "`allowed_hosts`" in answer.json()["remedy"]
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert {name: headers[name.lower()] for name in SECURITY} == SECURITY


def test_what_lets_everybody_in_is_not_let_out_to_the_host_s_port(serve):
    service = serve(door=None, allow_unauthenticated=True)
    with pytest.raises(StartError, match="no authenticator") as caught:
        DiagnosticsMiddleware(host, service.diagnostics)
    assert "endoscope-auth" in caught.value.remedy


# --- what is asked, and what is answered ----------------------------------------------------------


def test_path_query_and_headers_arrive_as_they_were_sent(mounted):
    def echo(request):
        return Json([request.path_parameters, request.query, dict(request.headers)])

    route = Route("GET", "/echo/{name}", echo, Access.READ, "", (endoscope.Parameter("q", ""),))
    path = "/diagnostics/probe/echo/" + "ä b%&?".encode().decode("latin-1")
    sent = {"HTTP_X_OWN": "\xe4 value", "HTTP_CONNECTION": "x-hop, close", "HTTP_X_HOP": "1",
            "HTTP_KEEP_ALIVE": "timeout=5", "HTTP_UPGRADE": "h2c", "HTTP_TE": "trailers",
            "CONTENT_TYPE": "text/x"}  # fmt: skip
    answer = ask(mounted(routes=(route,)), path, QUERY_STRING="q=%C3%A4+%26%3d=\xc3\xa4", **sent)
    parameters, query, headers = answer.json()
    assert parameters == {"name": "ä b%&?"}
    assert query == {"q": "ä &==ä"}
    assert (headers["x-own"], headers["content-type"]) == ("\xe4 value", "text/x")
    assert headers["host"] == "localhost"
    assert not {"x-hop", "keep-alive", "upgrade", "te"} & set(headers)
    assert headers["connection"] == "close"


def test_what_is_about_the_listener_s_connection_stays_there(mounted):
    chunks = get("/chunks", lambda _: ByteStream(iter([b"a", b"b"]), "x.bin"))
    answer = ask(mounted(routes=(chunks,)), "/diagnostics/probe/chunks")
    assert answer.body == b"ab"
    assert not {"transfer-encoding", "connection", "date", "server"} & set(answer.names)
    assert len(answer.names) == len(set(answer.names))


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "unix:{}/s", "[::]:0"])
def test_files(mounted, tmp_path, listen):
    (tmp_path / "content.bin").write_bytes(CONTENT)

    def file(request):
        return FileContent((tmp_path / "content.bin").open("rb"), len(CONTENT), "content.bin")

    application = mounted(routes=(get("/file", file),), listen=listen.format(tmp_path))
    whole = ask(application, "/diagnostics/probe/file")
    assert (whole.status, whole.body) == (200, CONTENT)
    assert whole.headers["content-length"] == str(len(CONTENT))
    assert max(map(len, whole.chunks)) <= 64 * 1024

    head = ask(application, "/diagnostics/probe/file", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(CONTENT))

    part = ask(application, "/diagnostics/probe/file", HTTP_RANGE="bytes=1000-1999")
    assert (part.status, part.body) == (206, CONTENT[1000:2000])
    assert part.headers["content-length"] == "1000"

    changed = {"HTTP_RANGE": "bytes=1000-1999", "HTTP_IF_RANGE": '"another"'}
    assert ask(application, "/diagnostics/probe/file", **changed).status == 200

    outside = ask(application, "/diagnostics/probe/file", HTTP_RANGE="bytes=9999999-")
    assert (outside.status, outside.json()["status"]) == (416, 416)


@pytest.mark.parametrize(("status", "phrase"), [(304, "Not Modified"), (299, "Unknown")])
def test_any_status(mounted, status, phrase):
    application = mounted(routes=(get("/status", lambda _: Text("", status=status)),))
    answer = ask(application, "/diagnostics/probe/status")
    assert (answer.status, answer.reason, answer.body) == (status, phrase, b"")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_it_keeps_to_the_specification(mounted, method):
    route = Route("POST", "/act", lambda request: Text(request.body.decode()), Access.ACT, "")
    checked = wsgiref.validate.validator(mounted(routes=(route,)))
    body = b"x" * 50_000 if method == "POST" else b""
    path = "/diagnostics/probe/act" if method == "POST" else "/diagnostics/plugins"
    answer = ask(checked, path, method=method, body=body)
    assert answer.status == 200
    assert answer.body == body or method == "GET"


# --- bodies of requests ---------------------------------------------------------------------------


@pytest.fixture
def taking(mounted):
    """Return an application with a route that answers with the length of what it was sent."""
    route = Route("POST", "/take", lambda request: Json(len(request.body)), Access.ACT, "")
    application = mounted(routes=(route,))
    return lambda **how: ask(application, "/diagnostics/probe/take", method="POST", **how)


def test_a_body_is_passed_on(taking):
    assert taking(body=b"x" * 60_000).json() == 60_000
    assert taking().json() == 0


def test_no_more_of_a_body_is_read_than_was_announced(taking):
    source = io.BytesIO(b"x" * 300)
    assert taking(CONTENT_LENGTH="100", **{"wsgi.input": source}).json() == 100
    assert source.tell() == 100


def test_a_body_of_unknown_length(taking):
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(b"x" * 50_000)}
    assert taking(**chunked, **{"wsgi.input_terminated": True}).json() == 50_000
    assert taking(**chunked).json() == 0, "whose end nobody would see"


def test_a_body_that_is_too_large(taking):
    answer = taking(body=b"x" * 10_000_000)
    assert (answer.status, answer.json()["code"]) == (413, "too_large")


class Leaving(io.BytesIO):
    def read(self, size=-1):
        raise ConnectionResetError


@pytest.mark.parametrize("source", [io.BytesIO(b"xyz"), Leaving()], ids=["ends", "breaks off"])
def test_a_body_that_ends_early(taking, source):
    before = time.monotonic()
    answer = taking(CONTENT_LENGTH="100", **{"wsgi.input": source})
    assert (answer.status, answer.json()["error"]) == (400, "the body ended early")
    assert time.monotonic() - before < 10, "nobody waits for the rest"


@pytest.mark.parametrize("length", ["-1", "many", "1 000", "\xb2"])
def test_a_length_that_is_none(taking, length):
    assert taking(CONTENT_LENGTH=length).status == 400


# --- bodies of answers ----------------------------------------------------------------------------


class Endless:
    """A route whose answer has no end; keeps how much was made, and whether it was closed."""

    def __init__(self):
        self.made = 0
        self.closed = threading.Event()

    def chunks(self):
        try:
            while True:
                self.made += 1
                yield b"x" * 100_000
        finally:
            self.closed.set()

    @property
    def route(self):
        return get("/endless", lambda _: ByteStream(self.chunks(), "x.bin"))


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "unix:{}/s"])
def test_a_client_who_leaves_ends_what_is_made_for_it(mounted, tmp_path, listen):
    endless = Endless()
    application = mounted(routes=(endless.route,), listen=listen.format(tmp_path))
    answer = Answer(application, request("/diagnostics/probe/endless"), take=3)
    assert not endless.closed.is_set()
    answer.close()
    assert endless.closed.wait(10)


def test_nothing_is_fetched_ahead_of_a_client_who_is_slow(mounted):
    endless = Endless()
    answer = Answer(mounted(routes=(endless.route,)), request("/diagnostics/probe/endless"), take=1)
    time.sleep(1)
    made = endless.made
    time.sleep(0.5)
    assert endless.made == made, "what fits into the sockets is made, and no more"
    answer.close()


@pytest.mark.parametrize("sized", [False, True], ids=["chunked", "of a known length"])
def test_what_breaks_off_is_not_taken_for_whole(mounted, tmp_path, sized):
    def chunks():
        yield b"the beginning"
        raise OSError("the disk is gone")

    def half(request):
        if not sized:
            return ByteStream(chunks(), "x.bin")
        (tmp_path / "short").write_bytes(b"short")
        return FileContent((tmp_path / "short").open("rb"), 1000, "short")

    with pytest.raises(endoscope.UnavailableError, match="broke off"):
        ask(mounted(routes=(get("/half", half),)), "/diagnostics/probe/half")


def test_an_answer_that_nobody_takes_leaves_no_connection(mounted, descriptors, eventually):
    application = mounted()
    ask(application)
    before = descriptors()
    for _ in range(5):
        Answer(application, request(), take=0).close()
    assert eventually(lambda: descriptors() <= before)


# --- a listener that does not answer --------------------------------------------------------------


def unavailable(answer):
    assert (answer.status, answer.reason) == (503, "Service Unavailable")
    assert (answer.json()["status"], answer.json()["code"]) == (503, "unavailable")
    assert {name: answer.headers[name] for name in SECURITY} == SECURITY
    assert answer.headers["Content-Length"] == str(len(answer.body))
    return True


def test_a_listener_that_is_gone(mounted, tmp_path, caplog):
    application = mounted(listen=f"unix:{tmp_path}/s")
    (tmp_path / "s").rename(tmp_path / "elsewhere")
    assert unavailable(ask(application))
    assert ask(application, method="HEAD").body == b""
    assert "FileNotFoundError" in caplog.text
    (tmp_path / "elsewhere").rename(tmp_path / "s")
    assert ask(application).status == 200


def test_a_listener_that_is_silent(mounted, monkeypatch, descriptors, eventually):
    release = threading.Event()
    application = mounted(routes=(get("/hang", lambda _: Json(release.wait(20))),))
    assert ask(application).status == 200
    before = descriptors()
    monkeypatch.setattr(wsgi, "_SILENCE_SECONDS", 0.3)
    try:
        assert unavailable(ask(application, "/diagnostics/probe/hang"))
    finally:
        release.set()
    assert eventually(lambda: descriptors() <= before)


def test_a_queue_that_is_full_is_not_waited_in_for_ever(mounted, tmp_path, monkeypatch):
    application = mounted(listen=f"unix:{tmp_path}/s")
    (tmp_path / "s").unlink()
    monkeypatch.setattr(wsgi, "_CONNECT_SECONDS", 0.3)
    with contextlib.ExitStack() as opened:
        deaf = opened.enter_context(socket.socket(socket.AF_UNIX))
        deaf.bind(str(tmp_path / "s"))
        deaf.listen(0)
        waiting = opened.enter_context(socket.socket(socket.AF_UNIX))
        waiting.connect(str(tmp_path / "s"))
        assert unavailable(ask(application))


def test_what_is_no_http_is_no_answer(mounted, tmp_path):
    application = mounted(listen=f"unix:{tmp_path}/s")
    (tmp_path / "s").unlink()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(tmp_path / "s"))
        stranger.listen()

        def answer():
            connection, _ = stranger.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert unavailable(ask(application))
        thread.join()


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    trustme = pytest.importorskip("trustme")
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name in ("own", "other"):
        made = authority.issue_cert(f"{name}.example")
        made.private_key_pem.write_to_path(folder / f"{name}.key")
        for number, pem in enumerate(made.cert_chain_pems):
            pem.write_to_path(folder / f"{name}.pem", append=bool(number))
    return folder


def tls(folder, name="own", **more):
    return {"certificate": str(folder / f"{name}.pem"), "key": str(folder / f"{name}.key"), **more}


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "unix:{}/s"])
def test_tls_whatever_the_names_in_the_certificate(mounted, certificates, tmp_path, listen):
    application = mounted(tls=tls(certificates), listen=listen.format(tmp_path))
    assert ask(application).status == 200
    assert ask(application, authorization=None).status == 401


def test_nobody_else_s_certificate_will_do(serve, certificates, tmp_path, caplog):
    path = tmp_path / "s"
    ours = serve(tls=tls(certificates), listen=f"unix:{path}", service_name="ours")
    application = DiagnosticsMiddleware(host, ours.diagnostics)
    path.unlink()
    serve(
        door=None, tls=tls(certificates, "other"), listen=f"unix:{path}", service_name="other",
        output_directory=str(tmp_path / "other"),
    )  # fmt: skip
    assert unavailable(ask(application))
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


def test_certificates_of_clients_cannot_be_passed_on(serve, certificates):
    service = serve(tls=tls(certificates, client_ca=str(certificates / "ca.pem")))
    with pytest.raises(StartError, match="client_ca") as caught:
        DiagnosticsMiddleware(host, service.diagnostics)
    assert "`tls.client_ca`" in caught.value.remedy


# --- a real server --------------------------------------------------------------------------------


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def port(mounted):
    application = mounted()
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, application, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "authorization", "status"),
    [("/", "", 200), ("/diagnostics", "", 401), ("/diagnostics/plugins", RIGHT, 200)],
)
def test_through_a_server(port, path, authorization, status):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Authorization": authorization})
        response = connection.getresponse()
        assert response.status == status
        assert (response.read() == b"the host") == (path == "/")
