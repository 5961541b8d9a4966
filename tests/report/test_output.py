import os
import sys

import pytest

from endoscope.errors import EndoscopeError
from endoscope_report.output import printing


@pytest.fixture
def stdout_to(monkeypatch):
    """Let standard output be an open file until the test ends."""
    opened = []

    def to(descriptor):
        file = os.fdopen(descriptor, "w")
        opened.append(file)
        monkeypatch.setattr(sys, "stdout", file)

    yield to
    for file in opened:
        file.close()


def test_a_full_disk_is_an_error(stdout_to):
    stdout_to(os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(EndoscopeError, match="cannot be written: No space left"), printing():
        print("x")  # noqa: T201


def test_a_reader_that_has_gone_is_none(stdout_to):
    reading, writing = os.pipe()
    os.close(reading)
    stdout_to(writing)
    with printing():
        print("x" * 100_000)  # noqa: T201
    with printing():
        print("more")  # noqa: T201
