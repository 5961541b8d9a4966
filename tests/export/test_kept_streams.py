from __future__ import annotations

import gzip
import os
from types import SimpleNamespace

import pytest

from endoscope_export import disk, kept_streams
from endoscope_export.content import Blob, open_path
from endoscope_export.kept_streams import WORTH_BYTES, KeptStreams

SHA = "a" * 64


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


@pytest.fixture
def streams(folder):
    return KeptStreams(folder, most=1000)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "library.so"
    path.write_bytes(b"x" * WORTH_BYTES)
    return path


def keep(streams, key, data, sha256=SHA):
    draft = streams.draft(key, len(data))
    draft.write(data)
    draft.keep(sha256)
    draft.close()


def found(streams, key):
    kept = streams.find(key)
    if kept is None:
        return None
    data = b"".join(kept.chunks())
    kept.close()
    return data, kept.sha256


def key(number):
    return f"{number:064x}"


def test_what_was_kept_is_found_with_its_checksum(streams):
    keep(streams, key(1), gzip.compress(b"entry"))
    assert found(streams, key(1)) == (gzip.compress(b"entry"), SHA)
    assert found(streams, key(2)) is None


def test_a_draft_that_is_not_kept_leaves_nothing(streams, folder):
    draft = streams.draft(key(1), 4)
    draft.write(b"half")
    assert os.listdir(folder) == []
    draft.close()
    assert found(streams, key(1)) is None


def test_only_this_user_may_read_them(streams, folder):
    keep(streams, key(1), b"x")
    (name,) = os.listdir(folder)
    assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_the_longest_unused_go_first(streams, folder):
    for number in (1, 2, 3):
        keep(streams, key(number), b"x" * 300)
        for name in os.listdir(folder):
            if name.startswith(key(number)):
                os.utime(folder / name, (number, number))
    assert found(streams, key(1))  # which makes it the newest
    keep(streams, key(4), b"x" * 300)
    assert [number for number in (1, 2, 3, 4) if found(streams, key(number))] == [1, 3, 4]


def test_other_files_are_left_alone(streams, folder):
    (folder / "notes.gz").write_bytes(b"x" * 5000)
    keep(streams, key(1), b"x" * 900)
    keep(streams, key(2), b"x" * 900)
    assert (folder / "notes.gz").exists()


def test_the_same_twice_is_kept_once(streams, folder):
    keep(streams, key(1), b"x")
    keep(streams, key(1), b"x")
    assert len(os.listdir(folder)) == 1


def test_a_disk_without_room_keeps_nothing(streams, monkeypatch):
    full = SimpleNamespace(f_bavail=10, f_frsize=1)
    monkeypatch.setattr(disk.os, "statvfs", lambda path: full)
    assert streams.draft(key(1), 1) is None


def test_a_draft_that_the_disk_does_not_take_is_not_kept(streams, folder):
    draft = streams.draft(key(1), 1)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, draft._descriptor)
    os.close(full)
    draft.write(b"x" * 10)
    draft.write(b"y")
    draft.keep(SHA)
    draft.close()
    assert os.listdir(folder) == []


def test_a_folder_that_is_gone_keeps_and_finds_nothing(tmp_path):
    streams = KeptStreams(tmp_path / "gone", most=1000)
    assert streams.find(key(1)) is None
    assert streams.draft(key(1), 1) is None


def test_only_large_files_are_worth_it(streams, file, folder, tmp_path):
    (tmp_path / "small").write_bytes(b"x" * (WORTH_BYTES - 1))
    assert streams.key("a", open_path(file))
    assert streams.key("a", open_path(tmp_path / "small")) is None
    assert streams.key("a", Blob(b"x" * WORTH_BYTES)) is None
    assert KeptStreams(folder, most=0).key("a", open_path(file)) is None


def test_the_key_is_of_one_file_under_one_path(streams, file):
    assert streams.key("a", open_path(file)) == streams.key("a", open_path(file))
    assert streams.key("a", open_path(file)) != streams.key("b", open_path(file))


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"y" * WORTH_BYTES),
        lambda path: path.write_bytes(b"x" * WORTH_BYTES + b"x"),
        lambda path: (path.unlink(), path.write_bytes(b"x" * WORTH_BYTES)),
        lambda path: os.utime(path, (1, 1)),
    ],
)
def test_a_file_that_changed_has_another_key(streams, file, change):
    os.utime(file, ns=(10**18, 10**18))
    before = streams.key("a", open_path(file))
    change(file)
    assert streams.key("a", open_path(file)) != before


def test_a_file_that_grew_after_it_was_opened_has_the_key_of_what_was_opened(streams, file):
    content = open_path(file)
    key = streams.key("a", content)
    with file.open("ab") as grown:
        grown.write(b"more")
    assert streams.key("a", content) == key
    assert not content.is_unchanged()
    assert streams.key("a", open_path(file)) != key


def test_a_stream_over_the_bound_is_not_kept_and_throws_none_out(streams, folder):
    keep(streams, key(1), b"x" * 900)
    draft = streams.draft(key(2), 5000)
    for _ in range(5):
        draft.write(b"y" * 1000)
    assert os.fstat(draft._descriptor).st_size <= 1000
    draft.keep(SHA)
    draft.close()
    assert found(streams, key(1))
    assert found(streams, key(2)) is None


def test_a_stream_that_somebody_has_cut_is_not_used_again(streams, folder):
    keep(streams, key(1), b"x" * 900)
    (name,) = os.listdir(folder)
    os.truncate(folder / name, 10)
    assert found(streams, key(1)) is None
    assert os.listdir(folder) == []


def test_where_nobody_knows_the_boot_nothing_is_kept(folder, file, monkeypatch):
    monkeypatch.setattr(kept_streams, "_boot", lambda: "")
    assert KeptStreams(folder, most=1000).key("a", open_path(file)) is None
