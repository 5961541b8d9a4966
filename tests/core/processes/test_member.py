from __future__ import annotations

import _socket
import contextlib
import logging
import os
import resource
import threading
import time

import pytest

from endoscope.errors import BadRequestError
from endoscope.processes.frames import Connection, Frame
from endoscope.processes.member import Member
from endoscope.workers import Workers


class Stream:
    """A stream that knows whether it is closed."""

    def __init__(self):
        self.closed = threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        return b"x"

    def close(self):
        self.closed.set()


class Attended:
    """A member at work, and what it is asked. `waiting` operations go on when it is set."""

    def __init__(self, place, name):
        self.place, self.name = place, name
        self.workers, self.streams = Workers("calls", 4), Workers("streams", 4)
        self.member = Member(self.workers, {"next": self.streams})
        self.waiting = threading.Event()
        self.forgotten = []
        self.stream = Stream()
        self.threads = set()
        operations = {
            "echo": lambda frame, _: Frame({"kind": "echo", **frame.message}, frame.body),
            "raise": self._raise,
            "refuse": self._refuse,
            "wait": self._wait,
            "hold": self._hold,
            "strange": lambda *_: Frame({"kind": object()}),
            "next": lambda *_: self.threads.add(threading.current_thread().name) or Frame({}),
        }
        listening = place.listen(name)
        args = (listening, operations, self.forgotten.append)
        self.thread = threading.Thread(target=self._attend, args=args, daemon=True)
        self.thread.start()

    def _attend(self, *args):
        self.member.attend(*args)
        self.member.close()

    def _raise(self, *_):
        raise RuntimeError("a bug")

    def _refuse(self, *_):
        raise BadRequestError("no", remedy="")

    def _wait(self, *_):
        self.waiting.wait(20)
        return Frame({"kind": "waited"})

    def _hold(self, _, guest):
        guest.stream = self.stream
        guest.lists.append(7)
        return Frame({"kind": "held"})

    def connect(self):
        return Connection(self.place.connect(self.name, 1.0))

    def ask(self, op, connection=None, **facts):
        with contextlib.ExitStack() as closing:
            if connection is None:
                connection = closing.enter_context(contextlib.closing(self.connect()))
            connection.send(Frame({"op": op, **facts}), 5.0)
            return connection.receive(10.0).message

    def stop(self):
        self.waiting.set()
        self.member.stop()
        self.thread.join(10)
        self.workers.stop()
        self.streams.stop()


@pytest.fixture
def attended(place, name):
    attended = Attended(place, name)
    yield attended
    attended.stop()
    assert not attended.thread.is_alive()


def test_it_answers_many_questions_on_many_connections(attended):
    connections = [attended.connect() for _ in range(20)]
    for number in range(3):
        for connection in connections:
            assert attended.ask("echo", connection, n=number) == {
                "kind": "echo",
                "op": "echo",
                "n": number,
            }
    for connection in connections:
        connection.close()


def test_a_failure_is_answered_and_told_without_its_inside(attended, caplog):
    with caplog.at_level(logging.ERROR):
        answer = attended.ask("raise")
    assert (answer["kind"], answer["status"]) == ("error", 500)
    assert "a bug" not in str(answer)
    assert "a bug" in caplog.text
    assert attended.ask("refuse")["status"] == 400
    assert attended.ask("unknown")["kind"] == "error"
    assert attended.ask("strange")["kind"] == "error"
    assert attended.ask("echo")["kind"] == "echo"


def test_who_waits_does_not_keep_others_from_being_answered(attended):
    with contextlib.closing(attended.connect()) as slow:
        slow.send(Frame({"op": "wait"}), 1.0)
        assert attended.ask("echo")["kind"] == "echo"
        attended.waiting.set()
        assert slow.receive(5.0).message == {"kind": "waited"}


def test_connections_that_ask_nothing_hold_no_thread(attended):
    attended.ask("echo")
    before = threading.active_count()
    connections = [attended.connect() for _ in range(60)]
    for connection in connections:
        attended.ask("hold", connection)
    assert threading.active_count() <= before + 4
    for connection in connections:
        connection.close()


def test_what_is_held_for_a_guest_is_freed_when_it_leaves(attended, eventually):
    connection = attended.connect()
    attended.ask("hold", connection)
    assert not attended.stream.closed.is_set()
    connection.close()
    assert attended.stream.closed.wait(5)
    assert attended.forgotten == [7]


def test_what_is_held_is_freed_when_a_guest_leaves_in_the_middle(attended):
    connection = attended.connect()
    attended.ask("hold", connection)
    connection.send(Frame({"op": "wait"}), 1.0)
    time.sleep(0.2)
    connection.close()
    assert not attended.stream.closed.wait(0.3)
    attended.waiting.set()
    assert attended.stream.closed.wait(5)
    assert attended.forgotten == [7]


def test_chunks_are_made_on_threads_of_their_own(attended):
    attended.ask("next")
    assert attended.threads == {"endoscope-streams"}


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x02\0\0\0\0[]",
        b"\0\x01\x86\xa0\0\0\0\0" + b"[" * 100_000,
        b"\0\0\0\x09\0\0\0\0" + b'{"op":[]}',
        b"\xff" * 8,
        b"",
    ],
    ids=["http", "a list", "deep", "no word", "too long", "nothing"],
)
def test_what_is_no_frame_does_no_harm(attended, data):
    raw = attended.place.connect(attended.name, 1.0)
    with contextlib.suppress(OSError):
        raw.sendall(data)
    raw.close()
    assert attended.ask("echo")["kind"] == "echo"


def test_who_stops_in_the_middle_of_a_frame_is_not_waited_for(attended):
    raw = attended.place.connect(attended.name, 1.0)
    raw.sendall(b"\0\0\0")
    time.sleep(0.1)
    began = time.monotonic()
    assert attended.ask("echo")["kind"] == "echo"
    assert time.monotonic() - began < 3
    raw.close()


def test_a_process_without_descriptors_does_not_go_round_in_circles(attended, monkeypatch):
    monkeypatch.chdir(attended.place.folder)  # an address has 107 bytes
    attended.ask("echo")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.closing(Connection(_socket.socket(_socket.AF_UNIX))) as waiting:
        taken = []
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 5, before[1])
        )
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            waiting._socket.connect(str(attended.name))
            used = time.process_time()
            time.sleep(1)
            used = time.process_time() - used
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for number in taken:
                os.close(number)
        assert used < 0.3
        waiting.send(Frame({"op": "echo"}), 1.0)
        assert waiting.receive(5.0).message["kind"] == "echo"


def test_a_descriptor_is_watched_until_it_is_not(attended, eventually):
    reading, writing = os.pipe()
    seen = []

    def look():
        seen.append(time.monotonic())
        os.read(reading, 1)
        return 0.5

    attended.member.call_soon(lambda: attended.member.watch(reading, look))
    os.write(writing, b"123")
    assert eventually(lambda: len(seen) == 3)
    assert seen[2] - seen[0] >= 1.0
    attended.member.call_soon(lambda: attended.member.unwatch(reading))
    time.sleep(0.1)
    os.write(writing, b"4")
    time.sleep(0.8)
    assert len(seen) == 3
    os.close(reading)
    os.close(writing)


def test_a_watch_may_ask_not_to_be_called_again(attended):
    reading, writing = os.pipe()
    seen = []
    attended.member.call_soon(
        lambda: attended.member.watch(reading, lambda: seen.append(1) or float("inf"))
    )
    os.write(writing, b"1")
    time.sleep(0.5)
    assert seen == [1]
    assert attended.ask("echo")["kind"] == "echo"
    os.close(reading)
    os.close(writing)


def test_nothing_is_left_open(place, name, open_descriptors):
    before = open_descriptors()
    attended = Attended(place, name)
    attended.ask("echo")
    guest = attended.connect()
    attended.stop()
    guest.close()
    assert open_descriptors() == before


def test_it_sleeps_while_nobody_asks(attended):
    attended.ask("echo")
    time.sleep(0.1)
    used = time.process_time()
    time.sleep(1)
    assert time.process_time() - used < 0.05


def test_nothing_is_written_to_a_number_that_is_not_ours_any_more(attended, tmp_path, eventually):
    """What ends after the stop rings a doorbell that is gone."""
    with contextlib.closing(Connection(attended.place.connect(attended.name, 1.0))) as connection:
        connection.send(Frame({"op": "wait"}), 1.0)
        assert eventually(lambda: attended.member._working)
        attended.member.stop()
        attended.thread.join(5)
        files = [(tmp_path / str(number)).open("wb", buffering=0) for number in range(20)]
        attended.waiting.set()
        assert eventually(lambda: all(job.wait(0) for job in attended.member._working))
        attended.member.ring()
    for file in files:
        file.close()
    assert [file for file in files if os.path.getsize(file.name)] == []
