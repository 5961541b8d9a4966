import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_process import proc
from endoscope_process.proc import Stat


def test_a_file_is_read_to_its_end(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 200_000 + b"\xff")
    assert proc.read(file) == "x" * 200_000 + "\udcff"
    with pytest.raises(FileNotFoundError):
        proc.read(tmp_path / "absent")


def test_no_descriptor_is_left_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    proc.read("/proc/self/status")
    with pytest.raises(IsADirectoryError):
        proc.read(tmp_path)
    assert os.listdir("/proc/self/fd") == before


def test_fields_and_those_in_kilobytes():
    text = "Name:\tpython: x\nVmRSS:\t      12 kB\nThreads:\t3\nno colon\n"
    assert proc.fields(text) == {"Name": "python: x", "VmRSS": "12 kB", "Threads": "3"}
    assert proc.byte_fields(text) == {"VmRSS": 12288}


def test_a_stat_file_is_read_whatever_the_name_is():
    stat = Stat.of("7 (a) S (b) R 1 2 3\n")
    assert (stat.name, stat.state, stat.number(4)) == ("a) S (b", "R", 1)
    with pytest.raises(ValueError, match="without field 50"):
        stat.number(50)


@pytest.mark.parametrize("text", ["", "7", "7 (name", "7 name) S"])
def test_a_broken_stat_file_is_told_as_such(text):
    with pytest.raises(ValueError, match="not the form"):
        Stat.of(text)


@given(st.text())
def test_hostile_text_gives_fields_or_none(text):
    assert all(isinstance(value, int) for value in proc.byte_fields(text).values())


@given(st.text(alphabet="0123456789²٣ -+_"))
def test_a_number_is_one_that_int_reads(text):
    if proc.is_number(text):
        assert str(int(text)).rjust(len(text), "0") == text
