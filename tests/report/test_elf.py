"""Headers of ELF files, against readelf, and of files that nobody would link."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endoscope_report import elf
from endoscope_report.elf import ElfError, Segment

BUILD_ID = bytes(range(20))
ADDRESS = 0x400000


def make_elf(bits=64, order="<", notes=None, has_code=True):
    """Return a file with one segment of code from byte 0x1000 on, and notes."""
    if notes is None:
        notes = struct.pack(order + "III", 4, len(BUILD_ID), 3) + b"GNU\0" + BUILD_ID
    word, header_size, entry_size = ("Q", 64, 56) if bits == 64 else ("I", 52, 32)
    identity = b"\x7fELF" + bytes([bits // 32, "<>".index(order) + 1, 1]) + bytes(9)
    header = struct.pack(
        f"{order}HHI{word}{word}{word}IHHHHHH",
        *(3, 62, 1, 0, header_size, 0, 0, header_size, entry_size, 2, 0, 0, 0),
    )

    def segment(kind, flags, offset, address, size, memory):
        if bits == 64:
            return struct.pack(order + "IIQQQQQQ", kind, flags, offset, address, 0, size, memory, 4)
        return struct.pack(order + "IIIIIIII", kind, offset, address, 0, size, memory, flags, 4)

    notes_at = header_size + 2 * entry_size
    code = segment(1, 5, 0x1000, ADDRESS + 0x1000, 0x2000 if has_code else 0x10, 0x2000)
    return identity + header + code + segment(4, 4, notes_at, 0, *[len(notes)] * 2) + notes


@pytest.fixture
def read(tmp_path):
    def read(content):
        file = tmp_path / "x"
        file.write_bytes(content)
        return elf.read(file)

    return read


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_class_and_byte_order(read, bits, order):
    found = read(make_elf(bits, order))
    assert found.build_id == BUILD_ID.hex()
    assert found.segments == (Segment(0x1000, ADDRESS + 0x1000, 0x2000, 0x2000, True),)
    assert found.is_stripped
    assert found.has_code


def loaded(path):
    """Return what readelf says of what is loaded: offset, address, size, size in memory."""
    command = ["readelf", "--segments", "--wide", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = re.findall(r"LOAD +(0x\w+) +(0x\w+) +0x\w+ +(0x\w+) +(0x\w+)", done.stdout)
    return [tuple(int(each, 16) for each in row) for row in rows]


def test_the_interpreter_as_readelf_sees_it():
    try:
        segments = loaded(sys.executable)
    except FileNotFoundError:
        pytest.skip("no readelf")
    found = elf.read(Path(sys.executable))
    assert [part[:4] for part in found.segments] == segments
    assert found.has_code


def test_an_offset_is_found_in_the_segment_that_holds_it(read):
    found = read(make_elf())
    assert found.relative(0x1000) == 0  # the first segment begins there
    assert found.relative(0x2FFF) == 0x1FFF
    assert found.relative(0x3000) is None
    assert found.relative(0xFFF) is None


def test_in_an_outline_the_distance_into_the_code_has_to_do(read):
    outline = read(make_elf(has_code=False))
    assert not outline.has_code
    assert outline.relative(0x1234) is None
    assert outline.relative_in_code(0x234) == 0x234


@pytest.mark.parametrize(
    "notes",
    [
        b"",
        b"\xff" * 64,
        struct.pack("<III", 4, 20, 3) + b"GNU\0",  # cut off before its content
        struct.pack("<III", 4, 0, 3) + b"GNU\0",
        struct.pack("<III", 4, 20, 1) + b"GNU\0" + BUILD_ID,  # another kind of note
        struct.pack("<III", 4, 20, 3) + b"ABC\0" + BUILD_ID,
        struct.pack("<III", 4, 65, 3) + b"GNU\0" + bytes(65),
    ],
)
def test_notes_without_a_build_id(read, notes):
    assert read(make_elf(notes=notes)).build_id == ""


def test_a_build_id_after_another_note(read):
    other = struct.pack("<III", 3, 5, 1) + b"xy\0\0" + b"12345\0\0\0"
    own = struct.pack("<III", 4, 8, 3) + b"GNU\0" + BUILD_ID[:8]
    assert read(make_elf(notes=other + own)).build_id == BUILD_ID[:8].hex()


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF" + bytes(60)])
def test_what_is_no_elf_file(read, content):
    with pytest.raises(ElfError):
        read(content)


def test_neither_a_fifo_nor_a_device_holds_it_up(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises((ElfError, OSError)):
            elf.read(path)


def test_one_of_many_gigabytes_is_not_read(tmp_path):
    file = tmp_path / "huge"
    file.write_bytes(make_elf())
    assert elf.read(file).build_id
    os.truncate(file, 2**33 + 1)  # it takes no room on the disk
    with pytest.raises(ElfError, match="larger than any"):
        elf.read(file)


@settings(deadline=None)
@given(st.data(), st.sampled_from([32, 64]))
def test_damaged_headers_are_an_elf_error_at_worst(tmp_path_factory, data, bits):
    content = bytearray(make_elf(bits))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / f"damaged{os.getpid()}"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found = elf.read(file)
    except ElfError:
        return
    assert len(found.build_id) <= 128
    for offset in (0, 0x1000, 2**64):
        relative = found.relative(offset)
        assert relative is None or relative >= 0
