from __future__ import annotations

from pathlib import Path

import pytest

from dumps import heap, row
from endoscope_profiles import ProfileError, limits
from endoscope_profiles.jemalloc_heap import MappedFile, native_addresses

BEFORE = heap(([1], row(1, 1)))


def mapped(*lines):
    return native_addresses(BEFORE + b"".join(line + b"\n" for line in lines)).mapped


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (
            b"7f10-7f20 r-xp 00003000 08:01 123                        /lib/libz.so.1",
            "/lib/libz.so.1",
        ),
        (b"7f10-7f20 r-xp 00003000 08:01 123 /my libs/a  b.so", "/my libs/a  b.so"),
        (b"7f10-7f20 r-xp 00003000 08:01 123 /lib/old.so (deleted)", "/lib/old.so"),
        (b"7f10-7f20 rwxs 00003000 fd:1f 0 /two\\012lines", "/two\nlines"),
        (b"7f10-7f20 r-xp 00003000 08:01 123 /\xc3\xa4\xff.so", "/ä\ufffd.so"),
    ],
)
def test_an_executable_mapping_of_a_file_is_read(line, path):
    assert mapped(line) == (MappedFile(0x7F10, 0x7F20, 0x3000, path),)


@pytest.mark.parametrize(
    "line",
    [
        b"7f10-7f20 rw-p 00003000 08:01 123  /lib/libz.so.1",
        b"7f10-7f20 r-xp 00000000 00:00 0",
        b"7f10-7f20 r-xp 00000000 00:00 0  [vdso]",
        b"00000000007f10-00000000007f20: /usr/lib/libSystem.dylib",
        b"7f10-" + b"9" * 5000 + b" r-xp 00000000 08:01 123 /lib",
        b"",
        b"\xff\x00",
    ],
)
def test_what_is_none_is_passed_over(line):
    other = b"1000-2000 r-xp 00000000 08:01 1 /lib/libc.so.6"
    assert [file.path for file in mapped(line, other)] == ["/lib/libc.so.6"]


def test_this_process_s_own_are_read():
    maps = Path("/proc/self/maps").read_bytes()
    expected = [line.split() for line in maps.splitlines() if b"/" in line and b" r-xp " in line]
    found = mapped(maps.rstrip(b"\n"))
    places = [[int(end, 16) for end in words[0].split(b"-")] for words in expected]
    assert [[file.start, file.end] for file in found] == places
    assert any("libc" in file.path for file in found)


def test_there_may_be_only_so_many(monkeypatch):
    monkeypatch.setattr(limits, "MAPPED_FILES", 2)
    line = b"1000-2000 r-xp 00000000 08:01 1 /lib"
    assert len(mapped(line, b"", line)) == 2
    with pytest.raises(ProfileError, match=r"at most 2 executable mappings at line 9 "):
        mapped(line, line, line)
