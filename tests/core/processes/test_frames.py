from __future__ import annotations

import _socket
import array
import json
import os
import struct
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endoscope.processes import frames
from endoscope.processes.frames import Connection, Frame

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
HEAD = struct.Struct("!II")


def received(data: bytes, descriptors: tuple[int, ...] = ()) -> Frame:
    """Return what is received when exactly this is sent and the other end goes."""
    ours, theirs = _socket.socketpair()
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", descriptors))]
    if data:
        theirs.sendmsg([data], rights if descriptors else [])
    theirs.close()
    connection = Connection(ours)
    try:
        return connection.receive(1.0)
    finally:
        connection.close()


@given(st.dictionaries(st.text(), JSON, max_size=5), st.binary(max_size=3000))
def test_a_frame_arrives_as_it_was_sent(message, body):
    ours, theirs = map(Connection, _socket.socketpair())
    ours.send(Frame(message, body), 1.0)
    frame = theirs.receive(1.0)
    assert (frame.message, frame.body, frame.descriptors) == (message, body, ())
    ours.close()
    theirs.close()


def test_a_frame_may_be_large(pair):
    ours, theirs = pair
    body = os.urandom(20_000_000)
    sending = threading.Thread(target=ours.send, args=(Frame({"n": 1}, body), 20.0))
    sending.start()
    assert theirs.receive(20.0).body == body
    sending.join()


def test_frames_come_one_after_the_other(pair):
    ours, theirs = pair
    for number in range(50):
        ours.send(Frame({"number": number}, b"x" * number), 1.0)
    assert [theirs.receive(1.0).message["number"] for _ in range(50)] == list(range(50))


def test_open_files_travel(pair, tmp_path):
    ours, theirs = pair
    path = tmp_path / "file"
    path.write_text("content")
    with path.open() as one, path.open() as two:
        ours.send(Frame({}, b"x" * 10, (one.fileno(), two.fileno())), 1.0)
        path.unlink()
    frame = theirs.receive(1.0)
    assert [os.pread(number, 100, 0) for number in frame.descriptors] == [b"content"] * 2
    assert not any(map(os.get_inheritable, frame.descriptors))
    frame.close()
    frame.close()


def test_who_is_gone_is_known(pair):
    ours, theirs = pair
    theirs.close()
    with pytest.raises(ConnectionResetError):
        ours.receive(1.0)
    with pytest.raises(BrokenPipeError):
        ours.send(Frame({}, b"x" * 1_000_000), 1.0)


def test_neither_end_waits_for_ever(pair):
    ours, _ = pair
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        ours.receive(0.1)
    with pytest.raises(TimeoutError):
        ours.send(Frame({}, b"x" * 50_000_000), 0.1)
    assert time.monotonic() - began < 5


def test_a_time_limit_is_for_the_whole_frame():
    ours, theirs = _socket.socketpair()
    connection = Connection(ours)

    def trickle():
        try:
            for byte in HEAD.pack(2, 1000) + b"{}" + b"x" * 1000:
                theirs.send(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            theirs.close()

    thread = threading.Thread(target=trickle)
    thread.start()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        connection.receive(0.5)
    assert time.monotonic() - began < 3
    connection.close()
    thread.join()


def test_the_peer_is_this_user(pair):
    assert pair[0].peer_user() == os.geteuid()


# --- what others may send ------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_frame(data):
    before = len(os.listdir("/proc/self/fd"))
    try:
        frame = received(data)
    except OSError:
        pass
    else:
        assert isinstance(frame.message, dict)
    assert len(os.listdir("/proc/self/fd")) == before


@settings(max_examples=200)
@given(st.binary(max_size=100), st.binary(max_size=100), st.integers(-3, 3))
def test_lengths_that_are_wrong(text, body, off):
    data = HEAD.pack(max(0, len(text) + off), len(body)) + text + body
    try:
        frame = received(data)
    except OSError:
        return
    assert isinstance(frame.message, dict)


HOSTILE = {
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 20_000,
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "not UTF-8": b'"\xff\xfe"',
    "nothing": b"",
    "an endless number": b"9" * 10_000,
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_json_that_is_no_message(kind):
    text = HOSTILE[kind]
    with pytest.raises(OSError, match="no message of ours"):
        received(HEAD.pack(len(text), 0) + text)


@pytest.mark.parametrize("lengths", [(2**32 - 1, 0), (2, 2**32 - 1), (2**28 + 1, 0)])
def test_lengths_beyond_measure_take_no_memory(lengths):
    with pytest.raises(OSError, match="no message of ours"):
        received(HEAD.pack(*lengths) + b"{}")


def test_files_that_come_with_garbage_are_closed(tmp_path, open_descriptors):
    before = open_descriptors()
    with (tmp_path / "file").open("w") as file:
        for data in (b"x", HEAD.pack(2, 0) + b"[]", HEAD.pack(2, 9) + b"{}", b"\xff" * 20):
            with pytest.raises(OSError, match=r"gone|no message"):
                received(data, (file.fileno(),) * 3)
    assert open_descriptors() == before


def test_more_files_than_a_frame_takes_are_not_taken(tmp_path, open_descriptors):
    before = open_descriptors()
    with (tmp_path / "file").open("w") as file:
        data = HEAD.pack(2, 0) + b"{}"
        with pytest.raises(OSError, match="descriptor"):
            received(data, (file.fileno(),) * 20)
    assert open_descriptors() == before


def test_a_message_that_is_too_large_is_not_sent(pair, monkeypatch):
    monkeypatch.setattr(frames, "_LARGEST", 1000)
    with pytest.raises(OSError, match="over 1000 bytes"):
        pair[0].send(Frame({}, b"x" * 1001), 1.0)


def test_a_message_that_is_no_json_is_not_begun(pair):
    ours, theirs = pair
    with pytest.raises(TypeError):
        ours.send(Frame({"x": object()}), 1.0)
    ours.send(Frame({"x": 1}), 1.0)
    assert theirs.receive(1.0).message == {"x": 1}


def test_a_child_closes_the_parent_s_connections(pair, forked, tmp_path):
    numbers = [end.fileno() for end in pair]

    def look():
        frames.drop_inherited()
        left = [n for n in numbers if os.path.lexists(f"/proc/self/fd/{n}")]
        (tmp_path / "left").write_text(json.dumps(left))

    forked(look)
    assert json.loads((tmp_path / "left").read_text()) == []
    pair[0].send(Frame({"still": "open"}), 1.0)
    assert pair[1].receive(1.0).message == {"still": "open"}
