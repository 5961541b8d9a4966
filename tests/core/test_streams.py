from __future__ import annotations

import asyncio
import threading
import time

import pytest

from endoscope.chunks import BrokenStreamError, file_chunks
from endoscope.streams import pull
from endoscope.workers import Workers


class Chunks:
    """An iterator that notes when it is asked, closed, and whether both ever met."""

    def __init__(self, parts, hold=None):
        self._parts = iter(parts)
        self._hold = hold
        self.inside = False
        self.taken = 0
        self.closed = threading.Event()
        self.met = False

    def __iter__(self):
        return self

    def __next__(self):
        self.inside = True
        try:
            if self._hold is not None:
                self._hold.wait(20)
            self.taken += 1
            part = next(self._parts)
            if isinstance(part, BaseException):
                raise part
            return part
        finally:
            self.inside = False

    def close(self):
        self.met = self.met or self.inside
        self.closed.set()


@pytest.fixture
def workers():
    made = Workers("stream", 3)
    yield made
    made.stop()


async def collected(workers, chunks):
    return [chunk async for chunk in pull(workers, chunks)]


def test_everything_arrives_in_order_and_is_closed(workers):
    chunks = Chunks([b"a", b"", b"b", b"", b"c"])
    assert asyncio.run(collected(workers, chunks)) == [b"a", b"b", b"c"]
    assert chunks.closed.wait(10)


def test_an_empty_stream(workers):
    chunks = Chunks([])
    assert asyncio.run(collected(workers, chunks)) == []
    assert chunks.closed.wait(10)


def test_what_has_no_close_needs_none(workers):
    assert asyncio.run(collected(workers, iter([b"a"]))) == [b"a"]


def test_only_one_chunk_is_made_ahead(workers):
    chunks = Chunks([b"x"] * 50)

    async def take_two():
        stream = pull(workers, chunks)
        await anext(stream)
        await anext(stream)
        await asyncio.sleep(0.2)
        taken = chunks.taken
        await stream.aclose()
        return taken

    assert asyncio.run(take_two()) == 3
    assert chunks.closed.wait(10)


def test_a_client_who_leaves_while_there_is_nothing_yet_ends_the_work(workers):
    ended = threading.Event()

    def nothing_for_ever():
        try:
            while True:
                time.sleep(0.001)
                yield b""
        finally:
            ended.set()

    async def leave():
        waiting = asyncio.ensure_future(anext(pull(workers, nothing_for_ever())))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(leave())
    assert ended.wait(10)


def test_it_is_never_closed_while_next_runs(workers):
    gate = threading.Event()
    chunks = Chunks([b"x"] * 5, hold=gate)

    async def leave_early():
        stream = pull(workers, chunks)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.1)
        assert chunks.inside
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not chunks.closed.is_set()
        gate.set()

    asyncio.run(leave_early())
    assert chunks.closed.wait(10)
    assert not chunks.met


def test_a_generator_is_closed_by_a_worker_after_its_step(workers):
    seen = []

    def generate():
        try:
            while True:
                time.sleep(0.01)
                yield b"x"
        finally:
            seen.append(threading.current_thread().name)

    async def leave_early():
        stream = pull(workers, generate())
        await anext(stream)
        await stream.aclose()

    asyncio.run(leave_early())
    until = time.monotonic() + 10
    while not seen and time.monotonic() < until:
        time.sleep(0.01)
    assert seen == ["endoscope-stream"]


@pytest.mark.parametrize(
    "error", [ValueError("x"), TimeoutError(), SystemExit(1), asyncio.CancelledError()]
)
def test_an_error_in_the_middle_breaks_the_stream(workers, error, caplog):
    chunks = Chunks([b"a", error, b"c"])
    received = []

    async def read():
        async for chunk in pull(workers, chunks):
            received.append(chunk)  # noqa: PERF401  what arrived before the error counts

    with pytest.raises(BrokenStreamError):
        asyncio.run(read())
    assert received == [b"a"]
    assert chunks.closed.wait(10)
    assert "a response broke off" in caplog.text


def test_a_close_that_raises_harms_nobody(workers):
    class Bad(Chunks):
        def close(self):
            super().close()
            raise OSError("no")

    chunks = Bad([b"a"])
    assert asyncio.run(collected(workers, chunks)) == [b"a"]
    assert chunks.closed.wait(10)
    assert workers.call(lambda: 1, 5) == 1


def test_the_loop_gets_its_turn_between_chunks_that_are_ready(workers):
    async def count():
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        async for _ in pull(workers, Chunks([b"x"] * 100)):
            pass
        task.cancel()
        return turns

    assert asyncio.run(count()) >= 100


def test_file_chunks_give_exactly_what_was_promised(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 4096)
    file = path.open("rb")
    parts = list(file_chunks(file, 10, 700_000))
    assert b"".join(parts) == path.read_bytes()[10:700_010]
    assert file.closed


def test_a_file_that_has_grown_is_sent_as_it_was(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert b"".join(file_chunks(path.open("rb"), 0, 4)) == b"0123"


def test_a_file_that_has_shrunk_breaks_the_stream(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123")
    file = path.open("rb")
    with pytest.raises(BrokenStreamError, match="6 bytes early"):
        list(file_chunks(file, 0, 10))
    assert file.closed
