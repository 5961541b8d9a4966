from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from endoscope import Access, ArchiveMember, ByteStream, Json, ManifestEntry, Request, Route
from endoscope.contributions import PluginAnswer
from endoscope.errors import BusyError, NotFoundError
from endoscope.processes.frames import Frame
from endoscope.processes.lasting import Lasting
from endoscope.processes.member import Guest
from endoscope.processes.operations import Duties, Operations
from endoscope.processes.sibling import ask_frame
from endoscope.workers import Workers


def route(path, handler, **how):
    return Route("GET", path, handler, Access.READ, "", **how)


@pytest.fixture
def contributed(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"of a file")

    return {
        "bytes": b"plain",
        "called": lambda: b"called",
        "array": lambda: bytearray(b"array"),
        "path": path,
        "opened": lambda: path.open("rb"),
    }


@pytest.fixture
def operations(contributed):
    members = tuple(ArchiveMember(name, source, "g") for name, source in contributed.items())
    plugins = SimpleNamespace(
        archive_members=lambda seconds: (PluginAnswer("p", members, seconds),),
        manifest_entries=lambda seconds: (PluginAnswer("p", (ManifestEntry("s", "n", seconds),)),),
    )
    routes = {
        "GET /p/whole": route("/whole", lambda request: Json(request.query)),
        "GET /p/stream": route("/stream", lambda _: ByteStream(iter([b"1", b"2"]), "x")),
        "GET /p/on": route("/on", lambda _: Json(None), lasting="mode"),
    }
    workers = Workers("streams", 1)
    lasting = Lasting()
    made = Operations(Duties(plugins, routes, workers), lasting)
    made.lasting = lasting
    yield made
    workers.stop()


def ask(operations, op, guest=None, **facts):
    return operations.by_name()[op](Frame({"op": op, **facts}), guest or Guest(None))


def asked(operations, name, guest=None, *, lasting=False, **query):
    frame = ask_frame(name, Request("GET", "/", query=query), lasting=lasting)
    return operations.by_name()["ask"](frame, guest or Guest(None))


def test_a_route_s_own_handler_answers(operations):
    reply = asked(operations, "GET /p/whole", a="1")
    assert reply.message == {"kind": "json", "value": {"a": "1"}, "status": 200}


def test_a_route_that_this_process_lacks(operations):
    with pytest.raises(NotFoundError, match="GET /q/whole"):
        asked(operations, "GET /q/whole")


def test_only_what_was_asked_of_all_lasts(operations):
    asked(operations, "GET /p/on", a="1")
    assert operations.lasting.facts() == []
    asked(operations, "GET /p/on", lasting=True, a="2")
    asked(operations, "GET /p/whole", lasting=True)
    (fact,) = operations.lasting.facts()
    assert (fact["route"], fact["request"]["query"]) == ("GET /p/on", {"a": "2"})


def test_a_stream_is_pulled_chunk_by_chunk(operations):
    guest = Guest(None)
    assert asked(operations, "GET /p/stream", guest).message["kind"] == "stream"
    frames = [ask(operations, "next", guest) for _ in range(4)]
    assert [frame.message["kind"] for frame in frames] == ["chunk", "chunk", "end", "end"]
    assert [frame.body for frame in frames[:2]] == [b"1", b"2"]


def test_who_has_no_stream_is_at_its_end(operations):
    assert ask(operations, "next").message == {"kind": "end"}


def test_archive_members_by_their_number(operations, contributed):
    guest = Guest(None)
    listed = ask(operations, "members", guest, seconds=3.0)
    assert [item["path"] for item in listed.message["answers"][0]["items"]] == list(contributed)
    assert guest.lists == [listed.message["list"]]
    for index, name in enumerate(contributed):
        frame = ask(operations, "member", list=listed.message["list"], index=index)
        content = os.pread(frame.descriptors[0], 100, 0) if frame.descriptors else frame.body
        frame.close()
        wanted = {"bytes": b"plain", "called": b"called", "array": b"array"}
        assert content == wanted.get(name, b"of a file")


def test_a_list_that_is_forgotten(operations):
    listed = ask(operations, "members", Guest(None), seconds=3.0)
    number = listed.message["list"]
    operations.forget(number)
    operations.forget(number)
    for wrong in ({"list": number, "index": 0}, {"list": 99, "index": 0}):
        with pytest.raises(NotFoundError, match="not being made"):
            ask(operations, "member", **wrong)


def test_a_member_beyond_the_list(operations):
    listed = ask(operations, "members", Guest(None), seconds=3.0)
    with pytest.raises(NotFoundError):
        ask(operations, "member", list=listed.message["list"], index=99)


def test_manifest_entries(operations):
    frame = ask(operations, "entries", seconds=2.5)
    assert frame.message["answers"][0]["items"] == [{"section": "s", "name": "n", "value": 2.5}]


def test_a_member_that_is_a_link_is_not_followed(operations, contributed, tmp_path):
    listed = ask(operations, "members", Guest(None), seconds=3.0)
    contributed["path"].unlink()
    contributed["path"].symlink_to("/etc/passwd")
    index = list(contributed).index("path")
    with pytest.raises(OSError, match="symbolic links"):
        ask(operations, "member", list=listed.message["list"], index=index)


def test_what_lasts_is_known_before_it_is_done(workers):
    """Who joins in the middle is told of it."""
    lasting, seen = Lasting(), []

    def look(_):
        seen.extend(fact["route"] for fact in lasting.facts())
        return Json(None)

    routes = {"GET /p/on": route("/on", look, lasting="mode")}
    asked(
        Operations(Duties(SimpleNamespace(), routes, workers), lasting), "GET /p/on", lasting=True
    )
    assert seen == ["GET /p/on"]


@pytest.mark.parametrize(("error", "kept"), [(BusyError("is on already"), 1), (OSError(), 0)])
def test_what_lasts_is_forgotten_if_it_fails_but_not_if_it_is_so_already(workers, error, kept):
    def fail(_):
        raise error

    lasting = Lasting()
    routes = {"GET /p/on": route("/on", fail, lasting="mode")}
    with pytest.raises(type(error)):
        asked(
            Operations(Duties(SimpleNamespace(), routes, workers), lasting),
            "GET /p/on",
            lasting=True,
        )
    assert len(lasting.facts()) == kept
