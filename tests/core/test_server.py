from __future__ import annotations

import http.client
import os
import socket
import ssl
import stat

import pytest

from endoscope import StartError
from endoscope.client import Client, Target
from endoscope.errors import ServiceError, SettingsError

SECRET = "test-secret-123"
BEARER = {"Authorization": "Bearer dGVzdC1zZWNyZXQtMTIz"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    trustme = pytest.importorskip("trustme")
    folder = tmp_path_factory.mktemp("tls")
    made = trustme.CA()
    made.cert_pem.write_to_path(folder / "ca.pem")
    server = made.issue_cert("127.0.0.1", "localhost", "::1")
    server.private_key_pem.write_to_path(folder / "key.pem")
    for number, blob in enumerate(server.cert_chain_pems):
        blob.write_to_path(folder / "cert.pem", append=bool(number))
    client = made.issue_cert("client@example.org")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    stranger = trustme.CA().issue_cert("stranger@example.org")
    stranger.private_key_and_cert_chain_pem.write_to_path(folder / "stranger.pem")
    return folder


def tls(folder, **more):
    return {"certificate": str(folder / "cert.pem"), "key": str(folder / "key.pem"), **more}


def over_tls(service, folder, certificate=None):
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if certificate:
        context.load_cert_chain(folder / certificate)
    address = service.address
    connection = http.client.HTTPSConnection(
        address.host, address.port, timeout=20, context=context
    )
    try:
        connection.request("GET", "/diagnostics", headers=BEARER)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_tls(serve, authority):
    service = serve(tls=tls(authority))
    assert over_tls(service, authority)[0] == 200
    assert b"200" not in service.raw(service.request_line("/diagnostics"))[:20], "no clear text"


def test_tls_speaks_http_1_1_only(serve, authority):
    service = serve(tls=tls(authority))
    context = ssl.create_default_context(cafile=authority / "ca.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        service.connect() as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.selected_alpn_protocol() == "http/1.1"
        assert secure.version() in {"TLSv1.2", "TLSv1.3"}


def test_client_certificates(serve, authority):
    service = serve(tls=tls(authority, client_ca=str(authority / "ca.pem")))
    assert over_tls(service, authority, "client.pem")[0] == 200
    for certificate in (None, "stranger.pem"):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            over_tls(service, authority, certificate)
    assert over_tls(service, authority, "client.pem")[0] == 200


def test_our_client_over_tls(serve, authority):
    service = serve(tls=tls(authority))
    url = f"https://{service.address}"
    target = Target.from_url(url, SECRET, authority / "ca.pem")
    assert Client(target).ask("GET", "")["service"] == "router"
    with pytest.raises(ServiceError, match="no secure connection") as caught:
        Client(Target.from_url(url, SECRET)).ask("GET", "")
    assert "--ca" in caught.value.remedy


@pytest.mark.parametrize(
    "wrong",
    [
        {"certificate": "key.pem", "key": "key.pem"},
        {"certificate": "cert.pem", "key": "cert.pem"},
        {"certificate": "cert.pem", "key": "client.pem"},
        {"certificate": "cert.pem", "key": "key.pem", "client_ca": "key.pem"},
        {"certificate": "empty.pem", "key": "key.pem"},
    ],
)
def test_certificates_that_do_not_work_reach_the_caller(
    serve, authority, wrong, our_threads, descriptors
):
    (authority / "empty.pem").write_text("")
    before = descriptors()
    with pytest.raises(StartError, match="TLS certificate cannot be used"):
        serve(tls={name: str(authority / file) for name, file in wrong.items()})
    assert descriptors() == before
    assert our_threads() == []


def test_a_key_behind_a_passphrase_is_not_asked_for(serve, authority):
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = serialization.load_pem_private_key((authority / "key.pem").read_bytes(), None)
    (authority / "locked.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    with pytest.raises(StartError, match="TLS certificate cannot be used"):
        serve(tls={**tls(authority), "key": str(authority / "locked.pem")})


def test_files_that_are_not_there_are_mistakes_in_the_settings(serve):
    with pytest.raises(SettingsError, match=r"tls\.certificate.*cannot be read"):
        serve(tls={"certificate": "/no/such.pem", "key": "/no/such.pem"})


def test_a_warning_for_clear_text_on_the_network(serve, authority, caplog):
    serve(listen="0.0.0.0:0")
    assert "crosses the network in clear text: 0.0.0.0:0" in caplog.text
    caplog.clear()
    serve(door=None, listen="0.0.0.0:0", tls=tls(authority))
    assert "clear text" not in caplog.text


def test_ipv6(serve):
    service = serve(listen="[::1]:0")
    assert service.ask().status == 200
    assert service.ask(headers={"Host": f"[::1]:{service.address.port}"}).status == 200
    target = Target.from_url(f"http://{service.address}", SECRET)
    assert Client(target).ask("GET", "")["service"] == "router"


def test_a_unix_socket(serve, tmp_path):
    path = tmp_path / "s"
    service = serve(listen=f"unix:{path}")
    assert service.ask().status == 200
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    target = Target.from_url(f"unix:{path}", SECRET)
    assert Client(target).ask("GET", "")["service"] == "router"
    service.diagnostics.stop()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(serve, tmp_path):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "s"))
    assert serve(listen=f"unix:{tmp_path}/s").ask().status == 200


def test_a_client_that_says_nothing_keeps_nobody_from_asking(serve):
    service = serve()
    silent = [service.connect() for _ in range(50)]
    half = service.connect()
    half.sendall(b"GET /diagnostics HTTP/1.1\r\nHost: lo")
    assert service.ask().status == 200
    for client in (*silent, half):
        client.close()


def test_descriptors_over_1023_can_be_served(serve):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1300:
        pytest.skip("too few descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1300), hard))
    held = []
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        held.append(null)
        held += [os.dup(null) for _ in range(1050)]
        assert serve().ask().status == 200
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_asks_at_once_is_answered(serve):
    service = serve()
    service.diagnostics.stop()
    service.diagnostics.start()
    assert service.ask().status == 200
