from __future__ import annotations

import os
import signal
import threading
import time
import warnings

import pytest

from endoscope import Access, ByteStream, Route


@pytest.fixture
def in_child():
    """Run a function in a forked child; return its report, and that it ended well."""

    def run(function) -> str:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            signal.alarm(30)
            try:
                report = str(function())
            except BaseException as error:  # noqa: BLE001  nothing may leave the child
                report = f"{type(error).__name__}: {error}"
            os.write(writing, report.encode()[:60_000])
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            report = file.read().decode()
        assert os.waitpid(pid, 0)[1] == 0
        return report

    return run


def sockets_and_epolls() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith(("socket:", "anon_inode:[event")):
            found.append(f"{name}={target}")
    return found


def test_a_child_keeps_no_descriptor_of_ours(serve, in_child):
    before = set(sockets_and_epolls())
    service = serve()
    clients = [service.connect() for _ in range(3)]
    for client in clients:
        client.sendall(service.request_line("/diagnostics", close=False).encode())
        assert client.recv(100)
    own = {f"{client.fileno()}=" for client in clients}

    def left():
        return [
            held
            for held in sockets_and_epolls()
            if held not in before and not held.startswith(tuple(own))
        ]

    assert left()
    assert in_child(left) == "[]"
    for client in clients:
        client.close()


def test_a_child_that_is_forked_before_anybody_asks(section, install, serve, in_child):
    service = serve()
    service.diagnostics.stop()
    before = set(sockets_and_epolls())
    service.diagnostics.start()
    assert in_child(lambda: [held for held in sockets_and_epolls() if held not in before]) == "[]"
    assert service.ask().status == 200


def test_the_child_s_object_is_stopped_and_harmless(serve, in_child):
    service = serve()

    def look():
        diagnostics = service.diagnostics
        diagnostics.stop()
        return diagnostics.address, diagnostics.wait_until_serving(0)

    assert in_child(look) == "(None, False)"
    assert service.ask().status == 200


def test_the_parent_s_download_survives(serve, in_child):
    size = 20_000_000

    def handler(_):
        return ByteStream(iter([b"x" * 100_000] * (size // 100_000)), "x")

    service = serve(routes=(Route("GET", "/s", handler, Access.READ, ""),))
    with service.connect() as client:
        client.sendall(service.request_line("/diagnostics/probe/s").encode())
        received = len(client.recv(65536))
        for _ in range(3):
            in_child(lambda: None)
            received += len(client.recv(65536))
        while chunk := client.recv(65536):
            received += len(chunk)
    assert received > size


def test_a_child_joins_at_once_if_it_asks_to(serve, in_child):
    service = serve()

    def own():
        service.diagnostics.start()
        assert service.diagnostics.wait_until_serving()
        index = service.ask(f"?process={os.getpid()}").json()
        processes = service.ask("/processes").json()
        service.diagnostics.stop()
        return index["pid"] == os.getpid(), [row["role"] for row in processes]

    assert in_child(own) == "(True, ['door', 'member'])"
    assert service.ask().json()["pid"] == os.getpid()
    assert [row["pid"] for row in service.ask("/processes").json()] == [os.getpid()]


def test_a_child_joins_by_itself_and_a_grandchild_too(serve, in_child):
    service = serve()

    def pids():
        return {row["pid"] for row in service.ask("/processes").json()}

    def child():
        def grandchild():
            deadline = time.monotonic() + 20
            while not {os.getpid(), os.getppid()} <= pids() and time.monotonic() < deadline:
                time.sleep(0.05)
            return len(pids())

        return in_child(grandchild)

    assert in_child(child) == "3"


def test_a_child_s_unix_socket_is_the_parent_s(serve, in_child, tmp_path):
    path = tmp_path / "s"
    service = serve(listen=f"unix:{path}")
    in_child(service.diagnostics.stop)
    assert path.exists()
    assert service.ask().status == 200


def test_forking_while_somebody_asks(serve, in_child):
    service = serve()
    ended, replies = threading.Event(), []

    def ask():
        while not ended.is_set():
            replies.append(service.ask("/plugins").status)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert in_child(lambda: "fine") == "fine"
    ended.set()
    for thread in threads:
        thread.join()
    assert set(replies) == {200}


def test_forking_after_the_stop(serve, in_child):
    service = serve()
    service.diagnostics.stop()
    assert in_child(lambda: "fine") == "fine"


def test_a_child_ends_as_if_there_were_nothing(serve, tmp_path):
    service = serve()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    assert time.monotonic() - began < 10
    assert service.ask().status == 200
