from __future__ import annotations

import io
import os
import socket
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from endoscope import TimeLimitError
from endoscope_export.content import Blob, ContentError, describe, open_path, open_source


def at_once(function):
    function()
    yield from ()


def opened(source, calling=at_once):
    """Return what a generator returns that opens `source`."""
    steps = open_source(source, calling, calling)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def read(content):
    room = memoryview(bytearray(content.size + 10))
    return bytes(room[: content.read_into(room, 0)])


def descriptors():
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def refused(source, call=at_once):
    before = descriptors()
    with pytest.raises(ContentError) as caught:
        opened(source, call)
    assert descriptors() == before
    return caught.value


def test_bytes_are_content_as_they_are():
    content = opened(b"hello")
    assert (content.size, content.modified, read(content)) == (5, None, b"hello")


def test_a_file_has_its_size_and_time_from_when_it_was_opened(tmp_path):
    path = tmp_path / "dump"
    path.write_bytes(b"12345")
    os.utime(path, (1_600_000_000, 1_600_000_000))
    with closing(opened(path)) as content:
        path.write_bytes(b"123456789")
        assert (content.size, content.modified) == (5, 1_600_000_000)


def test_an_open_file_is_not_inherited_by_programs(tmp_path):
    path = tmp_path / "dump"
    path.write_bytes(b"x")
    with closing(open_path(path)) as content:
        assert not os.get_inheritable(content.descriptor)


@pytest.fixture
def fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


@pytest.fixture
def symlink(tmp_path):
    (tmp_path / "target").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    return tmp_path / "link"


@pytest.fixture
def bound_socket(tmp_path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        yield tmp_path / "socket"


def test_a_fifo_is_not_read(fifo):
    assert "FIFO" in refused(fifo).message


def test_a_symbolic_link_is_not_followed(symlink):
    error = refused(symlink)
    assert (error.code, "symbolic link" in error.message) == ("not_regular", True)


def test_a_socket_a_folder_and_a_device_are_not_read(bound_socket, tmp_path):
    for path in (bound_socket, tmp_path, Path("/dev/zero")):
        assert refused(path).code == "not_regular"


def test_what_takes_a_files_place_after_the_look_is_not_read(symlink, fifo, monkeypatch):
    regular = os.lstat(__file__)
    monkeypatch.setattr(os, "lstat", lambda path: regular)
    assert refused(symlink).code == "not_regular"
    assert refused(fifo).code == "not_regular"


def test_a_vanished_file_is_said_to_be_gone(tmp_path):
    assert refused(tmp_path / "gone").code == "vanished"


@pytest.fixture
def unprivileged():
    """Root may read everything; be somebody else for a while."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    yield
    os.seteuid(mine)


def test_an_unreadable_file_is_a_failure_that_says_why(tmp_path, unprivileged):
    folder = tmp_path
    if os.getuid() != 0:
        folder = tmp_path / "closed"
        folder.mkdir(mode=0)
    error = refused(folder / "file")
    assert error.code == "unreadable"
    assert "Permission denied" in error.message


@pytest.mark.parametrize("name", ["nul\0", "surrogate\ud800"])
def test_a_name_that_no_file_can_have_is_a_failure(tmp_path, name):
    assert refused(tmp_path / name).code == "unreadable"


@pytest.mark.parametrize("source", [42, None, "a string", ["list"], bytearray(b"x")])
def test_a_source_of_another_type_is_a_failure(source):
    assert refused(source).code == "wrong_type"


@pytest.mark.parametrize("returned", [42, None, "text", io.StringIO("x"), io.BytesIO(b"x")])
def test_a_callable_that_returns_nonsense_is_a_failure(returned):
    assert refused(lambda: returned).code == "wrong_type"


def test_a_callable_may_return_bytes_or_an_open_file(tmp_path):
    (tmp_path / "file").write_bytes(b"from a file")
    assert opened(lambda: b"made") == Blob(b"made")
    with closing(opened(lambda: (tmp_path / "file").open("rb"))) as content:
        assert read(content) == b"from a file"


def test_a_returned_file_is_sent_from_its_start_with_what_was_still_in_its_buffer():
    def spool():
        file = tempfile.TemporaryFile()  # noqa: SIM115
        file.write(b"written, and not yet flushed")
        return file

    with closing(opened(spool)) as content:
        assert read(content) == b"written, and not yet flushed"


def test_a_returned_file_is_closed_and_its_content_still_there(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    file = (tmp_path / "file").open("rb")
    with closing(opened(lambda: file)) as content:
        assert file.closed
        assert read(content) == b"x"


def test_a_returned_socket_pipe_or_closed_file_is_a_failure(tmp_path):
    ours, theirs = socket.socketpair()
    with theirs:
        assert refused_late(lambda: ours) == "not_regular"
    reading, writing = os.pipe()
    os.close(writing)
    assert refused_late(lambda: os.fdopen(reading, "rb")) == "not_regular"
    (tmp_path / "file").write_bytes(b"x")
    with (tmp_path / "file").open("rb") as closed:
        pass
    assert refused_late(lambda: closed) == "wrong_type"


def refused_late(source):
    with pytest.raises(ContentError) as caught:
        opened(source)
    return caught.value.code


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), UnprintableError()])
def test_a_callable_that_raises_anything_is_a_failure_that_names_it(error):
    def source():
        raise error

    caught = refused(source)
    assert caught.code == "raised"
    assert type(error).__name__ in caught.message


def test_an_error_without_a_text_is_told_by_its_type():
    assert describe(ValueError()) == "ValueError"
    assert describe(ValueError("no")) == "ValueError: no"


def test_a_file_that_comes_after_the_time_limit_is_closed(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    released, before = threading.Event(), descriptors()
    threads = []

    def late():
        released.wait(5)
        return (tmp_path / "file").open("rb")

    def abandon(function):
        threads.append(threading.Thread(target=function))
        threads[0].start()
        raise TimeLimitError("took longer than 0 s")

    with pytest.raises(ContentError) as caught:
        opened(late, abandon)
    released.set()
    threads[0].join(5)
    assert caught.value.code == "timed_out"
    assert descriptors() == before


def test_a_file_that_comes_just_before_the_time_limit_is_closed_too(tmp_path):
    (tmp_path / "file").write_bytes(b"x")

    def too_late(function):
        function()
        raise TimeLimitError("took longer than 0 s")

    assert refused(lambda: (tmp_path / "file").open("rb"), too_late).code == "timed_out"


# --- files without a size ------------------------------------------------------------------------


def test_what_the_kernel_makes_up_is_read_at_once():
    content = opened(Path("/proc/self/limits"))
    assert content.size > 100
    assert content.modified is None
    room = bytearray(content.size)
    assert content.read_into(memoryview(room), 0) == content.size
    assert b"Max open files" in room


def test_an_empty_file_is_empty(tmp_path):
    (tmp_path / "empty").touch()
    content = opened(tmp_path / "empty")
    assert content.size == 0
    content.close()
