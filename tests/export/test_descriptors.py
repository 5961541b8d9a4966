from __future__ import annotations

import os

from endoscope_export import descriptors


def in_child(look):
    """Return what `look()` says in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, look().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        answer = told.read()
    os.waitpid(child, 0)
    return answer


def test_a_forked_child_holds_no_file_open_and_the_parent_still_does(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    descriptor = descriptors.opened(os.open(tmp_path / "file", os.O_RDONLY))
    link = f"/proc/self/fd/{descriptor}"
    assert in_child(lambda: os.readlink(link)) == os.devnull
    assert os.pread(descriptor, 100, 0) == b"content"
    descriptors.close(descriptor)


def test_what_was_closed_is_the_childs_own_business(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    descriptor = descriptors.opened(os.open(tmp_path / "file", os.O_RDONLY))
    descriptors.close(descriptor)
    again = os.open(tmp_path / "file", os.O_RDONLY)
    assert again == descriptor
    assert in_child(lambda: os.readlink(f"/proc/self/fd/{again}")) == str(tmp_path / "file")
    os.close(again)
