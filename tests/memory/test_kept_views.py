import os

import pytest

from endoscope_memory import kept_views


@pytest.fixture
def opened(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def keep(folder, dump, number, size=10):
    name = f".{dump}.{number:032x}.view"
    (folder / name).write_bytes(bytes(size))
    os.utime(folder / name, (number, number))
    return name


def left(folder):
    return sorted(int(path.suffixes[-2][1:], 16) for path in folder.iterdir())


def test_a_name_is_that_of_the_content_and_of_what_was_asked(folder):
    def name(job, content=b"x", dump="a.prof"):
        (folder / "a.prof").write_bytes(content)
        with (folder / "a.prof").open("rb") as file:
            return kept_views.name_of(dump, [file], job)

    first = name({"format": "top", "by": "line"})
    assert name({"by": "line", "format": "top"}) != name({"format": "top"})
    assert name({"format": "top"}, b"other content") != name({"format": "top"})
    assert first.startswith(".a.prof.")
    with (folder / "a.prof").open("rb") as file:
        same = [kept_views.name_of("a.prof", [file], {"a": n, "b": 2}) for n in (1, 1, 3)]
        assert same[0] == same[1] != same[2]
        assert kept_views.name_of("a.prof", [file], {"b": 2, "a": 1}) == same[0]


def test_a_view_is_found_and_counts_as_used(folder, opened):
    name = keep(folder, "a.prof", 1)
    with kept_views.find(opened, name) as file:
        assert file.read() == bytes(10)
    assert (folder / name).stat().st_mtime > 1000
    assert kept_views.find(opened, ".nothing.view") is None


def test_a_symlink_is_no_view(folder, opened, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (folder / ".x.view").symlink_to(tmp_path / "secret")
    assert kept_views.find(opened, ".x.view") is None


def test_a_dump_s_views_go_with_it(folder, opened):
    for number, dump in enumerate(("a.prof", "a.prof", "a.prof.b.prof", "ab.prof")):
        keep(folder, dump, number)
    kept_views.forget(opened, "a.prof")
    assert left(folder) == [2, 3]


@pytest.mark.parametrize(
    ("keep_bytes", "numbers"), [(50, [1, 2, 3, 4, 5]), (49, [2, 3, 4, 5]), (10, [5]), (0, [5])]
)
def test_what_was_not_used_for_longest_goes_first_and_never_the_newest(
    folder, opened, keep_bytes, numbers
):
    for number in (3, 1, 5, 2, 4):
        keep(folder, "a.prof", number)
    kept_views.trim(opened, keep_bytes)
    assert left(folder) == numbers


def test_other_files_are_let_alone(folder, opened):
    for name in ("a.prof", ".0123456789abcdef.part", ".a.prof.x.view", "notes.txt"):
        (folder / name).write_bytes(bytes(1000))
    kept_views.trim(opened, 0)
    kept_views.forget(opened, "a.prof")
    assert len(list(folder.iterdir())) == 4
