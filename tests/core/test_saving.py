from __future__ import annotations

import os

import pytest

from endoscope.errors import ServiceError
from endoscope.saving import written_whole


def test_a_file_has_its_name_once_it_is_whole(tmp_path):
    final = tmp_path / "x"
    final.write_bytes(b"before")
    with written_whole(final) as write:
        write(b"one ")
        assert final.read_bytes() == b"before"
        write(b"two")
    assert final.read_bytes() == b"one two"
    assert list(tmp_path.iterdir()) == [final]


def test_of_what_failed_nothing_is_left(tmp_path):
    def fail():
        with written_whole(tmp_path / "x") as write:
            write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with written_whole(fifo) as write:
        write(b"hello")
    assert os.read(reading, 100) == b"hello"
    os.close(reading)
    assert list(tmp_path.iterdir()) == [fifo]
    assert fifo.is_fifo()


@pytest.mark.parametrize("place", ["/dev/full", "nowhere/x", "."])
def test_what_cannot_be_written_says_so(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(ServiceError, match="cannot be written") as caught,
        written_whole(tmp_path / place) as write,
    ):
        write(b"x" * (1 << 20))
    assert "--output" in caught.value.remedy
