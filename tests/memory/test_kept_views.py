import os

import pytest

from endoscope_memory import kept_views


@pytest.fixture
def opened(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def keep(folder, dump, number, size=10, of="one"):
    name = f".{dump}.{number:032x}.{of}.view"
    (folder / name).write_bytes(bytes(size))
    os.utime(folder / name, (number, number))
    return name


def left(folder):
    return sorted(int(path.suffixes[-3][1:], 16) for path in folder.iterdir())


def test_a_name_is_that_of_the_content_and_of_what_was_asked(folder):
    def name(job, content=b"x", dump="a.prof"):
        (folder / "a.prof").write_bytes(content)
        return kept_views.name_of(dump, [(folder / "a.prof").stat()], job)

    first = name({"format": "top", "by": "line"})
    assert name({"by": "line", "format": "top"}) != name({"format": "top"})
    assert name({"format": "top"}, b"other content") != name({"format": "top"})
    assert first.startswith(".a.prof.")
    files = [(folder / "a.prof").stat()]
    same = [kept_views.name_of("a.prof", files, {"a": n, "b": 2}) for n in (1, 1, 3)]
    assert same[0] == same[1] != same[2]
    assert kept_views.name_of("a.prof", files, {"b": 2, "a": 1}) == same[0]


def test_a_view_is_found_and_counts_as_used(folder, opened):
    name = keep(folder, "a.prof", 1)
    with kept_views.find(opened, name) as file:
        assert file.read() == bytes(10)
    used, modified = (folder / name).stat().st_atime, (folder / name).stat().st_mtime
    assert (used > 1000, modified) == (True, 1)  # a client that resumes knows it again
    assert kept_views.find(opened, ".nothing.view") is None


def test_a_symlink_is_no_view(folder, opened, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (folder / ".x.view").symlink_to(tmp_path / "secret")
    assert kept_views.find(opened, ".x.view") is None


def test_a_dump_s_views_go_with_it(folder, opened):
    for number, dump in enumerate(("a.prof", "a.prof", "a.prof.b.prof", "ab.prof")):
        keep(folder, dump, number)
    keep(folder, "ab.prof", 4, of="several")  # which may have its numbers in it
    kept_views.forget(opened, ["a.prof"])
    assert left(folder) == [2, 3]


@pytest.mark.parametrize(
    ("keep_files", "numbers"),
    [(5, [1, 2, 3, 4, 5]), (4.9, [2, 3, 4, 5]), (1, [5]), (0, [])],
)
def test_what_was_not_used_for_longest_goes_first(folder, opened, keep_files, numbers):
    for number in (3, 1, 5, 2, 4):
        name = keep(folder, "a.prof", number)
    takes = (folder / name).stat().st_blocks * 512  # on the disk, be it as small as it will
    kept_views.trim(opened, keep_files * takes)
    assert left(folder) == numbers


def test_other_files_are_let_alone(folder, opened):
    for name in ("a.prof", ".0123456789abcdef.part", ".a.prof.x.view", "notes.txt"):
        (folder / name).write_bytes(bytes(1000))
    kept_views.trim(opened, 0)
    kept_views.forget(opened, ["a.prof"])
    assert len(list(folder.iterdir())) == 4


def test_there_are_never_very_many(folder, opened, monkeypatch):
    monkeypatch.setattr(kept_views, "_MOST", 3)
    for number in range(5):
        keep(folder, "a.prof", number)
    kept_views.trim(opened, 1 << 30)
    assert left(folder) == [2, 3, 4]


def test_a_fifo_in_a_view_s_place_is_no_view(folder, opened):
    os.mkfifo(folder / ".x.view")
    assert kept_views.find(opened, ".x.view") is None


def test_the_views_of_many_dumps_go_at_once(folder, opened):
    for number, dump in enumerate(("a.prof", "b.prof", "c.prof")):
        keep(folder, dump, number)
    kept_views.forget(opened, [])
    assert left(folder) == [0, 1, 2]
    kept_views.forget(opened, ["a.prof", "b.prof"])
    assert left(folder) == [2]
