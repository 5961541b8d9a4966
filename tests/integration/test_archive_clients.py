"""Clients that are slow, stalled, many or gone: nothing of theirs is left in the host."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import time

import pytest

MEBIBYTE = 1 << 20
BIG = 32 * MEBIBYTE

ONE_BIG_FILE = """
def members():
    return [member("big.prof", folder / "big.prof", verbatim=True)]
"""
ZEROS_WITHOUT_END = """
def members():
    return [member("sparse", sparse, verbatim=True)]

def sparse():
    file = open(os.memfd_create("sparse"), "r+b")
    file.truncate(1 << 40)
    return file
"""


@pytest.fixture(scope="module")
def host(archiving):
    """Run a host with the default settings."""
    return archiving()


@pytest.fixture(scope="module")
def crowded(archiving):
    """Run a host that makes sixty archives at once."""
    return archiving(export={"max_concurrent": 60})


def contribute_big(host):
    host.contribute(ONE_BIG_FILE)
    (host.files / "big.prof").write_bytes(os.urandom(BIG))


# --- slow ----------------------------------------------------------------------------------------


def test_a_client_that_reads_slowly_and_then_at_once(host):
    with host.unharmed():
        contribute_big(host)
        with host.download() as response:
            begun = read_slowly(response, 10_000, seconds=3)
            assert len(begun) == 30_000
            with host.download("preview=1") as other:  # it still holds its turn, and nothing else
                assert other.status == 409
            archive = host.read(begun + response.read())
        assert archive.failures == {}
        assert archive.files["faulty/big.prof"] == (host.files / "big.prof").read_bytes()
        assert archive.has_all_sound()


def read_slowly(response, each_second, seconds):
    parts = []
    for _ in range(seconds * 10):
        parts.append(response.read(each_second // 10))
        time.sleep(0.1)
    return b"".join(parts)


# --- gone ----------------------------------------------------------------------------------------


def after_a_megabyte(host):
    with host.download() as response:
        assert len(response.read(MEBIBYTE)) == MEBIBYTE


def before_the_first_byte(host):
    with contextlib.closing(host.connect()) as connection:
        connection.request("GET", "/diagnostics/export", headers=host.headers)


def with_half_a_request(host):
    with contextlib.closing(host.connect()) as connection:
        connection.sock.sendall(b"GET /diagnostics/export HTTP/1.1\r\nHost: 127")


def after_head(host):
    with host.download(method="HEAD") as response:
        assert response.status == 200
        assert response.read() == b""


GONE = [after_a_megabyte, before_the_first_byte, with_half_a_request, after_head]


@pytest.mark.parametrize("leave", GONE)
def test_a_client_that_is_gone(host, leave):
    with host.unharmed():
        contribute_big(host)
        kept = host.kept()
        leave(host)
        host.wait_for("its turn", lambda: host.ask("only=config").status == 200)
        assert host.kept() == kept


@pytest.mark.parametrize("leave", GONE)
def test_fifty_clients_that_are_gone(crowded, leave):
    with crowded.unharmed():
        contribute_big(crowded)
        for _ in range(50):
            leave(crowded)
        kept = crowded.archive("only=faulty")
        assert kept.failures == {}


@pytest.mark.parametrize("form", ["tar.gz", "tar.zst"])
def test_who_leaves_amid_what_compresses_to_nothing_frees_it_within_a_second(host, form):
    with host.unharmed():
        host.contribute(ZEROS_WITHOUT_END)
        with host.download(f"only=faulty&format={form}") as response:
            response.read(4096)
            assert host.descriptors()["/memfd:sparse"] == 1
        host.wait_for("memfd closed", lambda: not host.descriptors()["/memfd:sparse"], 1)


def test_who_leaves_before_the_first_byte_is_not_worked_for(archiving):
    """Its end comes with its request: the one must not hide the other."""
    host = archiving()
    host.contribute(ZEROS_WITHOUT_END)
    before_the_first_byte(host)
    host.wait_for("its turn", lambda: host.ask("only=config").status == 200, 5)
    assert "socket.send() raised exception" not in host.host.stderr


# --- many ----------------------------------------------------------------------------------------


def test_fifty_stalled_clients_hold_neither_threads_nor_the_next_one_up(crowded):
    with crowded.unharmed():
        contribute_big(crowded)
        with contextlib.ExitStack() as stalled:
            for _ in range(50):
                response = stalled.enter_context(crowded.download("only=faulty"))
                assert response.status == 200
            assert crowded.threads() <= crowded.most_threads
            began = time.monotonic()
            archive = crowded.archive("only=sound")
            assert time.monotonic() - began < 1
            assert "sound/file.log" in archive.files
            assert crowded.works()


# --- the host ends -----------------------------------------------------------------------------


def test_a_host_that_ends_in_the_middle_breaks_the_transfer_off(archiving):
    host = archiving(grace_seconds=1)
    contribute_big(host)
    with host.download("only=faulty") as response:
        response.read(MEBIBYTE)
        began = time.monotonic()
        host.host.process.send_signal(signal.SIGTERM)
        assert host.host.wait() == 0
        assert time.monotonic() - began < 2.5
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
    assert host.left() | host.kept() == set()
    assert "Traceback" not in host.host.stderr


def test_a_host_that_is_killed_leaves_nothing(archiving):
    host = archiving()
    contribute_big(host)
    with host.download("only=faulty") as response:
        response.read(MEBIBYTE)
        host.host.process.kill()
        host.host.wait()
    assert host.left() | host.kept() == set()
