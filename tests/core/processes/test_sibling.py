from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time

import pytest

from endoscope import ArchiveMember, ByteStream, FileContent, Json, Request, Text
from endoscope.contributions import PluginAnswer
from endoscope.errors import EndoscopeError, NotFoundError
from endoscope.processes import wire
from endoscope.processes.frames import Frame
from endoscope.processes.member import Member
from endoscope.processes.place import Name
from endoscope.processes.sibling import Sibling, ask_frame, exchange_all
from endoscope.workers import Workers


def serve(place, name, operations, forget=lambda _: None):
    """Answer as a process called `name`, on a thread; return what ends it."""
    workers = Workers("calls", 4)
    member = Member(workers, {})
    listening = place.listen(name)

    def attend():
        member.attend(listening, operations, forget)
        member.close()

    thread = threading.Thread(target=attend, daemon=True)
    thread.start()

    def end():
        member.stop()
        thread.join(10)
        workers.stop()

    return end


def echo(frame, _guest):
    return Frame({"kind": "json", "value": frame.message["route"], "status": 200})


@pytest.fixture
def sibling(place, name):
    """Make a sibling that answers by these operations."""
    ending = []

    def make(operations, forget=lambda _: None):
        own = dataclasses.replace(name, token=os.urandom(4).hex())
        ending.append(serve(place, own, operations, forget))
        return Sibling(place, own)

    yield make
    for end in ending:
        end()


REQUEST = Request("GET", "/x")


def answering(answer):
    def operation(_frame, guest):
        reply, guest.stream = wire.answer_frame(answer)
        return reply

    return operation


@pytest.mark.parametrize("answer", [Json([1], 201), Text("t", "text/csv")])
def test_it_answers_as_a_handler_would(sibling, answer):
    assert sibling({"ask": answering(answer)}).ask("GET /x", REQUEST) == answer


def test_a_file_of_it_is_read_here(sibling, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    file = (tmp_path / "file").open("rb")
    answer = sibling({"ask": answering(FileContent(file, 7, "n"))}).ask("GET /x", REQUEST)
    with answer.file:
        assert answer.file.read() == b"content"


class Chunks:
    def __init__(self, count):
        self.left, self.closed = count, threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        self.left -= 1
        return b"%d" % self.left

    def close(self):
        self.closed.set()


def pulling(_frame, guest):
    chunk = next(guest.stream, None)
    return Frame({"kind": "end"}) if chunk is None else Frame({"kind": "chunk"}, chunk)


def test_a_stream_of_it_is_pulled_as_far_as_one_wants(sibling):
    chunks = Chunks(1000)
    one = sibling({"ask": answering(ByteStream(chunks, "n")), "next": pulling})
    stream = one.ask("GET /x", REQUEST).chunks
    assert (next(stream), next(stream), chunks.left) == (b"999", b"998", 998)
    stream.close()
    assert chunks.closed.wait(5)


def test_a_stream_of_it_ends(sibling):
    chunks = Chunks(3)
    one = sibling({"ask": answering(ByteStream(chunks, "n")), "next": pulling})
    stream = one.ask("GET /x", REQUEST).chunks
    assert list(stream) == [b"2", b"1", b"0"]
    stream.close()
    assert chunks.closed.wait(5)


def test_a_stream_that_fails_breaks_off(sibling):
    def failing(_frame, _guest):
        raise RuntimeError

    one = sibling({"ask": answering(ByteStream(Chunks(3), "n")), "next": failing})
    stream = one.ask("GET /x", REQUEST).chunks
    with pytest.raises(EndoscopeError, match="handler failed"):
        next(stream)
    stream.close()


def test_an_error_of_it_is_raised_here(sibling):
    def refuse(_frame, _guest):
        raise NotFoundError("not here", remedy="Go.", code="gone")

    with pytest.raises(EndoscopeError) as raised:
        sibling({"ask": refuse}).ask("GET /x", REQUEST)
    error = raised.value
    assert (error.message, error.remedy, error.code, error.status) == (
        "not here",
        "Go.",
        "gone",
        404,
    )


def test_archive_members_are_kept_until_one_closes(sibling):
    forgotten, done = [], threading.Event()
    answers = (PluginAnswer("p", (ArchiveMember("a", b"", "g"), ArchiveMember("b", b"", "g"))),)

    def members(_frame, guest):
        guest.lists.append(5)
        return Frame({"kind": "members", "list": 5, "answers": wire.member_facts(answers)})

    def member(frame, _guest):
        return Frame(
            {"kind": "bytes"},
            b"%(list)d %(index)d"
            % {b"list": frame.message["list"], b"index": frame.message["index"]},
        )

    def forget(number):
        forgotten.append(number)
        done.set()

    one = sibling({"members": members, "member": member}, forget)
    (answer,) = one.archive_members(1.0)
    assert [item.source() for item in answer.items] == [b"5 0", b"5 1"]
    assert forgotten == []
    one.close()
    one.close()
    assert done.wait(5)
    assert forgotten == [5]


def test_one_that_has_ended(place, forked):
    child = forked(lambda: place.listen(Name.own()))
    (name,) = place.members()
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    with pytest.raises(EndoscopeError) as raised:
        Sibling(place, name).ask("GET /x", REQUEST)
    assert (raised.value.code, raised.value.status) == ("process_ended", 404)


def test_one_that_is_stopped(place, forked):
    child = forked(lambda: place.listen(Name.own()))
    (name,) = place.members()
    os.kill(child, signal.SIGSTOP)
    os.waitid(os.P_PID, child, os.WSTOPPED | os.WNOWAIT)
    with pytest.raises(EndoscopeError) as raised:
        Sibling(place, name).exchange(Frame({"op": "ping"}), 0.3)
    assert (raised.value.code, raised.value.status) == ("process_does_not_answer", 504)
    assert f"kill -CONT {child}" in raised.value.remedy


def test_one_that_does_not_answer_in_time(place, name):
    listening = place.listen(name)
    began = time.monotonic()
    with pytest.raises(EndoscopeError, match="does not answer") as raised:
        Sibling(place, name).exchange(Frame({"op": "ping"}), 0.3)
    assert time.monotonic() - began < 3
    assert raised.value.status == 504
    listening.close()


def test_when_it_started(place, name):
    one, far = Sibling(place, name), Sibling(place, dataclasses.replace(name, started=0))
    assert 0 < time.time() - one.process_started < 24 * 3600
    assert abs(far.process_started - time.time()) < 1


def test_all_are_asked_at_once(sibling):
    def slow(frame, guest):
        time.sleep(0.5)
        return echo(frame, guest)

    many = [sibling({"ask": slow}) for _ in range(6)]
    began = time.monotonic()
    replies = exchange_all(many, ask_frame("GET /x", REQUEST, lasting=False), 10.0)
    assert time.monotonic() - began < 2.5
    assert [replies[one].message["value"] for one in many] == ["GET /x"] * 6


def test_of_all_those_who_fail_cost_the_others_nothing(sibling, place, name):
    def refuse(_frame, _guest):
        raise NotFoundError("not here", remedy="")

    silent = Sibling(place, name)
    listening = place.listen(name)
    gone = Sibling(place, dataclasses.replace(name, started=1, token="00000000"))
    good, bad = sibling({"ask": echo}), sibling({"ask": refuse})
    began = time.monotonic()
    replies = exchange_all(
        (silent, gone, good, bad), ask_frame("GET /x", REQUEST, lasting=False), 1.0
    )
    assert time.monotonic() - began < 4
    assert replies[good].message["value"] == "GET /x"
    codes = [replies[one].code for one in (silent, gone, bad)]
    assert codes == ["process_does_not_answer", "process_ended", "not_found"]
    listening.close()


def test_nobody_is_asked():
    assert exchange_all((), Frame({"op": "ping"}), 1.0) == {}


def test_nothing_is_left_open(sibling, place, name, open_descriptors):
    one = sibling({"ask": echo})
    one.ask("GET /x", REQUEST)
    time.sleep(0.2)
    before = open_descriptors()
    for _ in range(10):
        one.ask("GET /x", REQUEST)
        with pytest.raises(EndoscopeError):
            one.exchange(Frame({"op": "unknown"}), 1.0)
        exchange_all((one,) * 5, ask_frame("GET /x", REQUEST, lasting=False), 5.0)
    time.sleep(0.2)
    assert open_descriptors() == before
