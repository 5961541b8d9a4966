import os
import threading

import pytest

from endoscope_process import kernel


def test_entries_are_those_that_listing_gives():
    expected = {int(name) for name in os.listdir("/proc/self/task")}
    assert kernel.numbered_entries("/proc/self/task") == sorted(expected)


def test_only_numbers_count_as_entries(tmp_path):
    for name in ("7", "10", "x", "1x"):
        (tmp_path / name).touch()
    assert kernel.numbered_entries(str(tmp_path)) == [7, 10]


def test_a_link_a_file_and_a_status_are_what_python_says(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100_000)
    link = tmp_path / "link"
    link.symlink_to(file)
    assert kernel.link(str(link)) == os.readlink(link)
    assert kernel.read(str(file)) == "x" * 100_000
    with file.open("rb") as opened:
        expected, found = os.fstat(opened.fileno()), kernel.status(opened.fileno())
    assert (found.mode, found.links, found.size) == (
        expected.st_mode,
        expected.st_nlink,
        expected.st_size,
    )


@pytest.mark.parametrize("call", [kernel.numbered_entries, kernel.link, kernel.read])
def test_what_is_not_there_is_an_error_with_its_name(call, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        call(str(tmp_path / "absent"))


def test_errors_of_reading_and_of_status(tmp_path):
    with pytest.raises(IsADirectoryError):
        kernel.read(str(tmp_path))
    with pytest.raises(OSError, match="Bad file descriptor"):
        kernel.status(1_000_000)


def test_no_descriptor_is_left_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    kernel.numbered_entries("/proc/self/fd")
    kernel.read("/proc/self/stat")
    with pytest.raises(IsADirectoryError):
        kernel.read(str(tmp_path))
    assert os.listdir("/proc/self/fd") == before


def test_an_error_is_the_thread_s_own():
    def fail():
        with pytest.raises(FileNotFoundError):
            kernel.read("/proc/self/absent")

    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kernel.read("/proc/self/comm").strip()
