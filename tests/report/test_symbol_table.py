"""Cold parts in which nothing is left, as GCC leaves them in CPython's own binaries."""

import struct
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("symbolic")

from symbolic.debuginfo import Archive

from endoscope_report import elf
from endoscope_report.symbol_table import hide_empty_parts

ASSEMBLY = """
.text
.globl first
.type first, %function
first: .byte 0,0,0,0
.size first, 4
.type empty.cold, %function
empty.cold:
.size empty.cold, 0
.type full.cold, %function
full.cold: .byte 0,0,0,0
.size full.cold, 4
.type label, %function
label: .byte 0,0,0,0
.size label, 0
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cold")
    source, library = folder / "cold.s", folder / "libcold.so"
    source.write_text(ASSEMBLY)
    try:
        subprocess.run(["cc", "-shared", "-o", str(library), str(source)], check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler")
    return library


def address(library, name):
    listed = subprocess.run(["nm", str(library)], capture_output=True, text=True, check=True)
    rows = (row.split() for row in listed.stdout.splitlines())
    return next(int(row[0], 16) for row in rows if row[-1] == name)


def name_at(content, at):
    whole = bytes(content)  # what is read points into it
    archive = Archive.from_bytes(whole)
    symcache = next(archive.iter_objects()).make_symcache()
    return [found.symbol for found in symcache.lookup(at)]


def test_the_part_that_is_there_gets_its_name_back(library):
    content = bytearray(library.read_bytes())
    at = address(library, "full.cold")
    assert name_at(content, at) == ["empty.cold"]  # or this would not be needed any more
    assert hide_empty_parts(content, elf.read(library).symbols) == 1
    assert name_at(content, at) == ["full.cold"]


def test_other_functions_without_a_size_keep_theirs(library):
    content = bytearray(library.read_bytes())
    hide_empty_parts(content, elf.read(library).symbols)
    assert name_at(content, address(library, "label")) == ["label"]


def test_a_table_beyond_the_file_s_end_is_an_error(library):
    table = elf.read(library).symbols._replace(size=2**62)
    with pytest.raises(struct.error):
        hide_empty_parts(bytearray(Path(library).read_bytes()), table)


def test_names_beyond_the_file_s_end_are_none(library):
    content = bytearray(library.read_bytes())
    table = elf.read(library).symbols
    assert hide_empty_parts(content, table._replace(names_offset=2**62)) == 0
    assert hide_empty_parts(content, table._replace(names_size=0)) == 0
