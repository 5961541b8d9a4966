from __future__ import annotations

import contextlib
import http.server
import os
import socket
import threading

import pytest

from endoscope import Access, ByteStream, FileContent, Route
from endoscope.client import Client, Target, TransientError
from endoscope.configuration import Configuration
from endoscope.errors import ServiceError
from endoscope.listener import Address

SECRET = "test-secret-123"


@pytest.fixture
def connected(serve, tmp_path):
    content = tmp_path / "content"
    content.write_bytes(b"0123456789" * 100_000)

    def file(_):
        return FileContent(content.open("rb"), content.stat().st_size, "dump.prof")

    def broken(_):
        def chunks():
            yield b"x" * 100_000
            raise RuntimeError("boom")

        return ByteStream(chunks(), "archive.tar.gz")

    def short(_):
        return FileContent(content.open("rb"), content.stat().st_size + 1000, "dump.prof")

    def stream(_):
        return ByteStream(iter([b"a" * 1000, b"b" * 1000]), "archive.tar.gz")

    handlers = (file, broken, short, stream)
    service = serve(
        routes=tuple(Route("GET", f"/{h.__name__}", h, Access.READ, "") for h in handlers)
    )
    return Client(Target.from_url(str(service.address), SECRET)), content


@pytest.fixture
def stranger():
    """Serve something that is not Endoscope."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = self.server.answers
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # of an answer that is not read to its end
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8089", Address("127.0.0.1", 8089)),
        ("http://example.org", Address("example.org", 80)),
        ("https://example.org/", Address("example.org", 443)),
        ("http://[::1]:8089/diagnostics", Address("::1", 8089)),
        ("127.0.0.1:8089", Address("127.0.0.1", 8089)),
        ("[::1]:1", Address("::1", 1)),
        ("unix:/run/x", Address(path="/run/x")),
    ],
)
def test_addresses(url, address):
    target = Target.from_url(url, None)
    assert target.address == address
    assert (target.tls is not None) == url.startswith("https")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "http://",
        "http://h:99999",
        "http://h:x",
        "http://[::1",
        "unix:x",
        "ftp://h:1",
    ],
)
def test_what_is_no_address(url):
    with pytest.raises(ServiceError, match=r".") as caught:
        Target.from_url(url, None)
    assert "http://127.0.0.1:8089" in caught.value.remedy


def test_a_ca_that_is_none(tmp_path):
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(ServiceError, match="is no certificate"):
        Target.from_url("https://localhost:1", None, tmp_path / "ca.pem")


def test_the_service_s_own_configuration():
    source = Configuration(
        values={"listen": "0.0.0.0:5", "shared_secret": "s", "memory": {"x": 1}, "stranger": {}}
    )
    assert Target.from_configuration(source, None) == Target(Address("127.0.0.1", 5), "s")
    assert Target.from_configuration(source, "other").secret == "other"
    source = Configuration(values={"listen": "[::]:5"})
    assert Target.from_configuration(source, None).address == Address("::1", 5)


def test_no_repr_shows_the_secret():
    assert SECRET not in repr(Target(Address("h", 1), SECRET))


def test_asking(connected):
    client, _ = connected
    assert client.ask("GET", "")["service"] == "router"


def test_an_error_of_the_service_is_told_with_its_remedy(connected):
    client, _ = connected
    with pytest.raises(ServiceError, match="nothing is at this path") as caught:
        client.ask("GET", "/nothing")
    assert caught.value.code == "not_found"
    assert "GET /diagnostics" in caught.value.remedy


def test_a_wrong_secret(connected):
    client = Client(Target(connected[0]._target.address, "wrong"))
    with pytest.raises(ServiceError) as caught:
        client.ask("GET", "")
    assert caught.value.code == "unauthorized"


@pytest.mark.parametrize("secret", ["ä€\U0001f512", "bytes-\udcff-that-are-no-text", "x" * 300])
def test_any_secret_can_be_sent(connected, secret):
    client = Client(Target(connected[0]._target.address, secret))
    with pytest.raises(ServiceError) as caught:
        client.ask("GET", "")
    assert caught.value.code == "unauthorized"


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServiceError, match="Connection refused") as caught:
        Client(Target(Address("127.0.0.1", port))).ask("GET", "")
    assert "endoscope doctor" in caught.value.remedy


def test_a_unix_socket_that_is_not_there(tmp_path):
    with pytest.raises(ServiceError, match="No such file"):
        Client(Target(Address(path=str(tmp_path / "s")))).ask("GET", "")


@pytest.mark.parametrize(
    "answer",
    [(200, b"<html>"), (200, b"\xff"), (500, b"<html>"), (404, b"[]"), (404, b'{"error": 1}')],
)
def test_somebody_else_answers(stranger, answer):
    stranger.answers = answer
    with pytest.raises(ServiceError) as caught:
        Client(Target(Address("127.0.0.1", stranger.server_port))).ask("GET", "")
    assert "the diagnostics listener" in caught.value.remedy


@pytest.mark.parametrize(
    ("status", "passes"), [(409, True), (503, True), (401, False), (404, False)]
)
@pytest.mark.parametrize(
    "body", [b'{"error": "e", "remedy": "r", "code": "c"}', b"<html>", b"x" * 10**7]
)
def test_what_may_pass_by_itself_is_told_apart(stranger, status, passes, body):
    stranger.answers = (status, body)
    with pytest.raises(ServiceError) as caught:
        Client(Target(Address("127.0.0.1", stranger.server_port))).ask("GET", "")
    assert isinstance(caught.value, TransientError) is passes


def test_a_service_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(Target(Address("127.0.0.1", silent.getsockname()[1])), 0.2)
        with pytest.raises(TransientError, match="timed out"):
            client.ask("GET", "")


def test_another_thread_can_end_what_is_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(Target(Address("127.0.0.1", silent.getsockname()[1])))
        client.break_off()  # nothing to end yet
        timer = threading.Timer(0.2, client.break_off)
        timer.start()
        with pytest.raises(TransientError):
            client.ask("GET", "")
        timer.join()


# --- saving ---------------------------------------------------------------------------------------


def test_saving_under_the_service_s_name(connected, tmp_path, monkeypatch):
    client, content = connected
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert client.save("/probe/file", None).name == "dump.prof"
    assert (folder / "dump.prof").read_bytes() == content.read_bytes()
    assert client.save("/probe/stream", folder) == folder / "archive.tar.gz"
    assert client.save("/probe/file", folder / "own") == folder / "own"
    assert sorted(os.listdir(folder)) == ["archive.tar.gz", "dump.prof", "own"]


def test_progress_is_told(connected, tmp_path):
    client, content = connected
    told = []
    client.save("/probe/file", tmp_path / "x", progress=lambda *now: told.append(now))
    assert told[-1] == (content.stat().st_size, content.stat().st_size)
    told.clear()
    client.save("/probe/stream", tmp_path / "x", progress=lambda *now: told.append(now))
    assert told[-1] == (2000, None)


def test_a_download_is_told_its_name_and_length(connected):
    client, content = connected
    with client.download("/probe/file") as download:
        assert (download.name, download.length) == ("dump.prof", content.stat().st_size)
        assert b"".join(download.chunks) == content.read_bytes()
    with client.download("/probe/stream") as download:
        assert (download.name, download.length) == ("archive.tar.gz", None)


@pytest.mark.parametrize("path", ["/probe/broken", "/probe/short"])
def test_a_transfer_that_breaks_off_leaves_what_was_there(connected, tmp_path, path):
    client, _ = connected
    target = tmp_path / "here" / "x"
    target.parent.mkdir()
    target.write_text("before")
    with pytest.raises(ServiceError) as caught:
        client.save(path, target)
    assert "cannot be written" not in caught.value.message
    assert target.read_text() == "before"
    assert os.listdir(target.parent) == ["x"]


@pytest.mark.parametrize("place", ["absent/x", "file/x"])
def test_where_nothing_can_be_written(connected, tmp_path, place):
    client, _ = connected
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="cannot be written") as caught:
        client.save("/probe/file", tmp_path / place)
    assert "--output" in caught.value.remedy


def test_a_full_disk(connected):
    client, _ = connected
    with pytest.raises(ServiceError, match="cannot be written"):
        client.save("/probe/file", type(connected[1])("/proc/self/x"))


def test_a_name_with_a_path_in_it_is_not_followed(stranger, tmp_path, monkeypatch):
    class Sneaky(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Disposition", 'attachment; filename="../../sneaky"')
            self.send_header("Content-Length", "1")
            self.end_headers()
            self.wfile.write(b"x")

        def log_message(self, *_):
            pass

    stranger.RequestHandlerClass = Sneaky
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    client = Client(Target(Address("127.0.0.1", stranger.server_port)))
    assert client.save("/x", None).name == "download"
    assert os.listdir(folder) == ["download"]
