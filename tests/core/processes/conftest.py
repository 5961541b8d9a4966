"""Processes of one service, and two ends of a private socket, in a test's own process."""

from __future__ import annotations

import _socket
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from endoscope.processes.frames import Connection
from endoscope.processes.place import Name, Place
from endoscope.workers import Workers


@pytest.fixture
def place(tmp_path) -> Place:
    place = Place(tmp_path / "output", "router", "127.0.0.1:0")
    (tmp_path / "output").mkdir(mode=0o700)
    place.claim()
    return place


@pytest.fixture
def pair() -> Iterator[tuple[Connection, Connection]]:
    """Return two connections, each the other's end."""
    ends = tuple(Connection(end) for end in _socket.socketpair())
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers("test", 4)
    yield workers
    workers.stop()


@pytest.fixture
def forked() -> Iterator[Callable[..., int]]:
    """Fork a child that calls a function and then waits; it is killed when the test ends."""
    children: list[int] = []

    def fork(function: Callable[[], object] = lambda: None, *, waits: bool = True) -> int:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            try:
                function()
                os.write(writing, b"!")
                while waits:
                    signal.pause()
            finally:
                os._exit(0)
        os.close(writing)
        children.append(child)
        told = os.read(reading, 1)
        os.close(reading)
        assert told, "the child has failed"
        return child

    yield fork
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.fixture
def name() -> Name:
    return Name.own()


@pytest.fixture
def open_descriptors() -> Callable[[], int]:
    return lambda: len(os.listdir("/proc/self/fd"))
