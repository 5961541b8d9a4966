from __future__ import annotations

import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope import (
    ArchiveMember,
    ByteStream,
    FileContent,
    Json,
    ManifestEntry,
    Request,
    Text,
)
from endoscope.contributions import PluginAnswer, PluginFailure
from endoscope.errors import BadRequestError, EndoscopeError, TimeLimitError
from endoscope.processes import wire
from endoscope.processes.frames import Frame
from endoscope.processes.wire import SiblingError

ANY_TEXT = st.text(st.characters(codec=None))
TEXTS = st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3)


def sent(frame: Frame) -> Frame:
    """Return the frame as it arrives."""
    return Frame(json.loads(json.dumps(frame.message)), frame.body, frame.descriptors)


def no_chunks():
    raise AssertionError


@given(st.builds(Request, ANY_TEXT, ANY_TEXT, TEXTS, TEXTS, body=st.binary(), principal=ANY_TEXT))
def test_a_request_arrives_as_it_was(request):
    frame = sent(wire.request_frame(request))
    assert wire.request_of(frame.message, frame.body) == request


def test_credentials_stay_here():
    request = Request("GET", "/x", headers={"authorization": "Bearer c2VjcmV0"})
    frame = wire.request_frame(request)
    assert "c2VjcmV0" not in json.dumps(frame.message)
    assert wire.request_of(frame.message, b"").headers == {}


@pytest.mark.parametrize(
    "answer",
    [
        Json({"a": [1, None, "ü\ud800"]}, 201),
        Json(None),
        Text("", "text/csv", 404),
        Text("ü\ud800\0", "text/plain"),
    ],
)
def test_an_answer_arrives_as_it_was(answer):
    frame, chunks = wire.answer_frame(answer)
    assert chunks is None
    assert wire.answer_of(sent(frame), no_chunks) == answer


def test_a_file_arrives_open(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    file = path.open("rb")
    frame, _ = wire.answer_frame(FileContent(file, 7, "name", "text/html", "policy"))
    assert file.closed
    path.unlink()
    answer = wire.answer_of(sent(frame), no_chunks)
    assert (answer.size, answer.name, answer.page_policy) == (7, "name", "policy")
    with answer.file:
        assert answer.file.read() == b"content"


def test_a_stream_stays_where_it_is_made():
    chunks, others = iter([b"1"]), iter([b"2"])
    frame, stream = wire.answer_frame(ByteStream(chunks, "name", "text/csv"))
    assert stream is chunks
    answer = wire.answer_of(sent(frame), lambda: others)
    assert answer == ByteStream(others, "name", "text/csv")


def test_what_is_no_answer_is_refused():
    with pytest.raises(TypeError, match="BytesIO"):
        wire.answer_frame(io.BytesIO())


def test_an_error_arrives_with_its_remedy():
    error = BadRequestError("no", remedy="Do it.", code="strange")
    with pytest.raises(SiblingError) as raised:
        wire.raise_error(sent(wire.error_frame(error)).message)
    assert raised.value.body() == error.body()


def test_what_failed_inside_is_not_told():
    frame = wire.error_frame(RuntimeError("secret"))
    assert "secret" not in json.dumps(frame.message)
    assert frame.message["status"] == 500


def test_a_time_limit_is_known_as_one():
    frame = wire.error_frame(TimeLimitError("late", remedy=""))
    with pytest.raises(TimeLimitError):
        wire.raise_error(sent(frame).message)


def test_what_is_no_error_raises_none():
    wire.raise_error({"kind": "json"})
    wire.raise_error({})


def test_an_answer_of_an_unknown_kind_is_an_error():
    with pytest.raises(EndoscopeError, match="unknown answer"):
        wire.answer_of(Frame({"kind": "new"}), no_chunks)


FAILURE = PluginFailure("p", "hook", "what", timed_out=True)


def test_archive_members_arrive_without_their_sources():
    members = (
        ArchiveMember("a", b"a", "g", slow=True),
        ArchiveMember("b", b"b", "g", verbatim=True, shared=True),
    )
    answers = (
        PluginAnswer("one", members[:1], 0.5),
        PluginAnswer("none", (), 0.0, (FAILURE,)),
        PluginAnswer("two", members[1:], 0.25),
    )
    facts = json.loads(json.dumps(wire.member_facts(answers)))
    found = wire.members_of(facts, lambda index: b"%d" % index)
    assert [answer.plugin for answer in found] == ["one", "none", "two"]
    assert found[1].failures == (FAILURE,)
    assert [member.source() for answer in found for member in answer.items] == [b"0", b"1"]
    assert wire.member_facts(found) == facts


def test_manifest_entries_arrive_as_they_were():
    answers = (PluginAnswer("one", (ManifestEntry("s", "n", [1, {"x": None}]),), 0.5, (FAILURE,)),)
    facts = json.loads(json.dumps(wire.entry_facts(answers)))
    assert wire.entries_of(facts) == answers


def test_a_file_s_frame_has_a_descriptor_of_its_own(tmp_path, open_descriptors):
    (tmp_path / "file").touch()
    before = open_descriptors()
    frame, _ = wire.answer_frame(FileContent((tmp_path / "file").open("rb"), 0, "x"))
    assert open_descriptors() == before + 1
    assert not os.get_inheritable(frame.descriptors[0])
    frame.close()
    assert open_descriptors() == before
