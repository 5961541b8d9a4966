from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endoscope_export import disk as module
from endoscope_export.content import Blob, ContentError, OpenFile
from endoscope_export.disk import LEFT_FREE_BYTES
from endoscope_export.spool import IN_MEMORY_BYTES, Spool


def read(content):
    data = bytearray(content.size)
    filled = content.read_into(memoryview(data), 0)
    return bytes(data[:filled])


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=400_000), max_size=6), st.data())
def test_what_is_written_is_its_content_from_any_place_on(tmp_path, parts, data):
    whole = b"".join(parts)
    start = data.draw(st.integers(0, len(whole)))
    spool = Spool(tmp_path, 0)
    for part in parts:
        spool.write(part)
    content = spool.content(start, 5)
    assert (content.size, content.modified) == (len(whole) - start, 5)
    assert read(content) == whole[start:]
    content.close()


def test_little_stays_in_memory_and_much_goes_to_a_file_without_a_name(tmp_path):
    spool = Spool(tmp_path, 0)
    spool.write(b"x" * IN_MEMORY_BYTES)
    assert isinstance(spool.content(0, None), Blob)
    before = descriptors()
    spool = Spool(tmp_path, 0)
    spool.write(b"x" * IN_MEMORY_BYTES)
    spool.write(b"y")
    content = spool.content(IN_MEMORY_BYTES, None)
    assert isinstance(content, OpenFile)
    assert read(content) == b"y"
    assert os.listdir(tmp_path) == []
    content.close()
    assert descriptors() == before


def test_what_is_expected_to_be_much_goes_to_a_file_at_once(tmp_path):
    spool = Spool(tmp_path, IN_MEMORY_BYTES + 1)
    spool.write(b"x")
    assert isinstance(spool.content(0, None), OpenFile)


def test_closing_frees_the_file(tmp_path):
    before = descriptors()
    Spool(tmp_path, 2 * IN_MEMORY_BYTES).close()
    assert descriptors() == before


@pytest.mark.parametrize("expected", [0, 2 * IN_MEMORY_BYTES])
def test_a_line_begins_after_the_next_line_end(tmp_path, expected):
    spool = Spool(tmp_path, expected)
    spool.write(b"first\nsecond\nthird")
    begins = {offset: spool.line_after(offset, 100) for offset in (1, 5, 6, 7, 14)}
    assert begins == {1: 6, 5: 6, 6: 6, 7: 13, 14: None}
    assert spool.line_after(1, 3) is None
    spool.close()


def test_a_disk_without_room_is_not_written_to(tmp_path, monkeypatch):
    full = SimpleNamespace(f_bavail=LEFT_FREE_BYTES + 100, f_frsize=1)
    monkeypatch.setattr(module.os, "statvfs", lambda path: full)
    with pytest.raises(ContentError, match="output directory") as caught:
        Spool(tmp_path, 2 * IN_MEMORY_BYTES)
    assert caught.value.code == "no_space"
    spool = Spool(tmp_path, 0)
    with pytest.raises(ContentError):
        spool.write(bytes(IN_MEMORY_BYTES + 1))


def test_a_disk_that_fills_up_while_it_is_written_to(tmp_path, monkeypatch):
    free = SimpleNamespace(f_bavail=1 << 40, f_frsize=1)
    monkeypatch.setattr(module.os, "statvfs", lambda path: free)
    spool = Spool(tmp_path, 2 * IN_MEMORY_BYTES)
    free.f_bavail = LEFT_FREE_BYTES
    with pytest.raises(ContentError) as caught:
        spool.write(b"x")
    assert caught.value.code == "no_space"
    spool.close()


def test_a_directory_that_is_gone_is_an_error_of_the_member_s(tmp_path):
    with pytest.raises(ContentError):
        Spool(tmp_path / "gone", 2 * IN_MEMORY_BYTES)
