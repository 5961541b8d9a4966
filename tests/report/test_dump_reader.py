import io

import pytest

from endoscope.errors import EndoscopeError
from endoscope_report.dump_reader import DumpReader
from endoscope_report.dumps import Dump
from made import dump_of


def dump(pid, **held):
    return Dump(f"{pid}.prof", io.BytesIO(dump_of(pid=pid, **held)))


@pytest.fixture
def reader():
    return DumpReader(threads=False, folders=None)


def test_a_dump_can_be_read_again(reader):
    one = dump("7", leak=1000)
    assert [reader.read(one).bytes for _ in range(2)] == [1000, 1000]


def test_what_is_no_dump_is_told_by_its_name(reader):
    with pytest.raises(EndoscopeError, match=r"x\.prof: ") as caught:
        reader.read(Dump("x.prof", io.BytesIO(b"nothing")))
    assert caught.value.remedy


def test_processes_are_read_one_by_one(reader):
    profiles = reader.read_beside([dump("7", leak=1000), dump("8", leak=500)])
    assert next(profiles).bytes == 1000
    assert next(profiles).bytes == 500


def test_a_second_dump_of_one_process_is_refused(reader):
    with pytest.raises(EndoscopeError, match="would count twice"):
        list(reader.read_beside([dump("7", leak=1), dump("7", leak=2)]))
