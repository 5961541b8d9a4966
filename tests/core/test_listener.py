from __future__ import annotations

import fcntl
import os
import socket
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endoscope.errors import StartError
from endoscope.listener import Address, Listener, parse_address


@pytest.fixture
def listen():
    made = []

    def start(text):
        listener = Listener(parse_address(text))
        made.append(listener)
        return listener

    yield start
    for listener in made:
        listener.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8089", Address("127.0.0.1", 8089)),
        ("[::1]:0", Address("::1", 0)),
        ("localhost:65535", Address("localhost", 65535)),
        ("unix:/run/x.sock", Address(path="/run/x.sock")),
    ],
)
def test_addresses_and_back(text, address):
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "8089", ":8089", "host", "host:", "host:port", "host:65536", "host:999999", "::1:80",
        "[::1]", "[::1]80", "[nonsense]:80", "[127.0.0.1]:80", "unix:relative", "unix:", "a:1\n",
        "host:-1", "http://host:80", "host:٨٠", "a b:80", "unix:/a\0b",
    ],
)  # fmt: skip
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="address"):
        parse_address(text)


@settings(max_examples=300)
@given(st.text(max_size=40) | st.from_regex(r"(\[[^\]]{0,10}\]|[^:]{0,10}):\d{0,6}"))
def test_any_text_is_an_address_or_a_value_error(text):
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True), ("localhost:1", True),
        ("unix:/x", True), ("0.0.0.0:1", False), ("[::]:1", False), ("10.0.0.1:1", False),
        ("example.com:1", False), ("localhost.evil.example:1", False), ("127.1:1", False),
    ],
)  # fmt: skip
def test_which_addresses_only_this_machine_reaches(text, local):
    assert parse_address(text).is_local is local


def test_a_free_port_is_told(listen):
    listener = listen("127.0.0.1:0")
    assert listener.address.port > 0
    socket.create_connection(("127.0.0.1", listener.address.port), timeout=5).close()


def test_ipv6(listen):
    listener = listen("[::1]:0")
    socket.create_connection(("::1", listener.address.port), timeout=5).close()


@pytest.mark.parametrize("text", ["127.0.0.1:0", "unix:{tmp_path}/s"])
def test_no_program_that_the_host_starts_inherits_it(listen, tmp_path, text):
    listener = listen(text.format(tmp_path=tmp_path))
    flags = fcntl.fcntl(listener.socket.fileno(), fcntl.F_GETFD)
    assert flags & fcntl.FD_CLOEXEC


def test_a_port_that_is_taken(listen):
    taken = listen("127.0.0.1:0").address
    with pytest.raises(StartError, match="Address already in use") as caught:
        listen(str(taken))
    assert str(taken) in caught.value.message
    assert "Stop what listens there" in caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.1:0", "[2001:db8::1]:0", "unheard-of.invalid:80", "..:80",
        "a" * 64 + ".example:80", "a\0b:80", "unix:/no/such/directory/socket",
        "unix:/" + "x" * 200, "unix:/",
    ],
)  # fmt: skip
def test_where_nobody_can_listen(listen, text):
    with pytest.raises(StartError, match="cannot listen on") as caught:
        listen(text)
    assert caught.value.remedy


def test_a_unix_socket_is_its_owner_s_alone(listen, tmp_path):
    before = os.umask(0)
    try:
        listen(f"unix:{tmp_path}/s")
        assert os.umask(0) == 0, "nobody's umask was touched"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_a_unix_socket_goes_when_it_is_closed(tmp_path):
    listener = Listener(Address(path=str(tmp_path / "s")))
    listener.close()
    assert list(tmp_path.iterdir()) == []
    listener.close()


def test_a_stale_unix_socket_is_replaced(listen, tmp_path):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "s"))
    assert (tmp_path / "s").exists()
    listen(f"unix:{tmp_path}/s")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))


def test_a_unix_socket_on_which_somebody_listens_is_left_alone(listen, tmp_path):
    first = listen(f"unix:{tmp_path}/s")
    with pytest.raises(StartError, match="Address already in use"):
        listen(f"unix:{tmp_path}/s")
    first.socket.setblocking(True)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(listen, tmp_path, kind):
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("kept")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError):
        listen(f"unix:{path}")
    assert os.path.lexists(path)


def test_a_socket_that_took_our_place_is_not_removed(tmp_path):
    path = tmp_path / "s"
    first = Listener(Address(path=str(path)))
    path.unlink()
    second = Listener(Address(path=str(path)))
    first.close()
    assert path.exists()
    second.close()
    assert not path.exists()


def test_a_child_drops_it_without_removing_the_file(tmp_path):
    path = tmp_path / "s"
    listener = Listener(Address(path=str(path)))
    listener.drop()
    assert path.exists()
    path.unlink()
