import gzip
import itertools
import json
import os

import pytest

from endoscope import BadRequestError, NoSpaceError, NotFoundError, RequestError
from endoscope_memory import conversion
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.retention import Limits
from endoscope_memory.views import Views
from endoscope_profiles import Frame, jemalloc_heap, pprof
from endoscope_profiles.views import FORMATS

MAIN = Frame("main", "/srv/app.py", 1)
TAKEN = 1_795_479_593


@pytest.fixture
def take(folder):
    """Write a dump of functions and their bytes, as if taken so many minutes after the first."""
    written = itertools.count()

    def write(minute, pid="7", **held):
        records = [((Frame(name, "/srv/app.py", 7), MAIN), 1, size) for name, size in held.items()]
        facts = {"taken": f"2026-11-24T00:{minute:02}:00Z", "pid": pid}
        name = f"shop_heap_dump_{TAKEN + 60 * minute}{f'-{next(written)}' * (pid != '7')}.prof"
        (folder / name).write_bytes(b"".join(jemalloc_heap.write(records, facts=facts)))
        os.utime(folder / name, (TAKEN + 60 * minute,) * 2)
        return name

    return write


@pytest.fixture
def views(folder):
    return Views(DumpFolder(folder), 1 << 20)


def content(answer):
    with answer.file as file:
        read = file.read()
    assert len(read) == answer.size
    return read


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("made", FORMATS)
def test_every_format_of_a_dump(views, take, made):
    answer = views.of_dump(take(0, leak=5000), {"format": made})
    assert answer.name == f"shop_heap_dump_{TAKEN}.{FORMATS[made].suffix}"
    assert answer.media_type == FORMATS[made].media_type
    assert bool(answer.page_policy) == (made == "flamegraph")
    read = content(answer)
    assert b"leak" in (gzip.decompress(read) if made == "pprof" else read)


def test_pprof_holds_the_dump_s_numbers(views, take):
    read = content(views.of_dump(take(0, leak=5000, cache=70), {"format": "pprof"}))
    assert pprof.parse(gzip.decompress(read)).bytes == 5070


def test_options_are_heeded(views, take):
    name = take(0, leak=5000, cache=70)
    text = content(views.of_dump(name, {"format": "folded", "focus": "cache"})).decode()
    assert "main;cache 70" in text
    assert "leak" not in text


def test_a_difference_shows_what_grew(views, take):
    base, target = take(0, leak=1000, same=50), take(1, leak=9000, same=50)
    answer = views.of_difference(base, target, {"format": "csv"})
    assert answer.name == f"shop_heap_dump_{TAKEN + 60}-since-shop_heap_dump_{TAKEN}.csv"
    rows = [row for row in content(answer).decode().splitlines() if not row.startswith("#")]
    assert [row.split(",")[0] for row in rows] == ["function", "leak", "main"]
    assert rows[1].split(",")[3] == "8000"


def test_growth_names_the_suspect(views, take):
    for minute in range(3):
        take(minute, leak=1000 * minute + 1, cache=500)
    answer = views.of_growth({})
    assert answer.media_type == "application/json"
    told = json.loads(content(answer))
    (suspect,) = told["suspects"]
    assert suspect["frames"][0]["function"] == "leak"
    assert suspect["bytes_per_hour"] == 60_000


def test_growth_without_dumps_is_an_error_and_with_one_says_so(views, take):
    with pytest.raises(BadRequestError, match="no dumps"):
        views.of_growth({})
    take(0, leak=1)
    assert "only one" in content(views.of_growth({"format": "text"})).decode()


def test_a_view_is_made_once(views, take, folder, monkeypatch):
    name = take(0, leak=5000)
    first = content(views.of_dump(name, {"format": "top"}))
    monkeypatch.setattr(conversion, "convert", lambda *_: pytest.fail("made again"))
    assert content(views.of_dump(name, {"format": "top"})) == first
    assert len(hidden(folder)) == 1


def test_a_dump_that_was_replaced_is_looked_at_anew(views, take):
    name = take(0, leak=5000)
    assert b"leak" in content(views.of_dump(name, {"format": "folded"}))
    take(0, other=77)
    assert b"other" in content(views.of_dump(name, {"format": "folded"}))


def test_views_go_with_their_dump(views, take, folder):
    dumps, names = DumpFolder(folder), [take(minute, leak=5) for minute in range(4)]
    for name in names:
        views.of_dump(name, {"format": "top"}).file.close()
    assert len(hidden(folder)) == 4
    dumps.delete(names[3])
    assert len(hidden(folder)) == 3
    dumps.trim(Limits(2, 1 << 30), newest=names[2])
    assert len(hidden(folder)) == 2
    dumps.clear()
    assert list(folder.iterdir()) == []


def test_no_more_views_are_kept_than_allowed(folder, take):
    views, names = Views(DumpFolder(folder), 0), [take(minute, leak=5) for minute in range(3)]
    for name in names:
        assert content(views.of_dump(name, {"format": "top"}))
    assert hidden(folder) == []


def test_a_view_of_two_goes_with_either(views, take, folder):
    names = [take(minute, leak=minute + 1) for minute in range(2)]
    for name in names:
        take(0, leak=1)
        take(1, leak=2)
        views.of_difference(*names, {"format": "top"}).file.close()
        assert len(hidden(folder)) == 1
        DumpFolder(folder).delete(name)
        assert hidden(folder) == []


def test_a_damaged_dump_leaves_nothing(views, folder):
    (folder / "bad.prof").write_bytes(b"heap_v2/1\nnonsense\n")
    with pytest.raises(RequestError) as caught:
        views.of_dump("bad.prof", {"format": "top"})
    assert caught.value.code == "bad_dump"
    assert hidden(folder) == []


def test_an_empty_file_is_a_damaged_dump(views, folder):
    (folder / "bad.prof").write_bytes(b"")
    with pytest.raises(RequestError) as caught:
        views.of_dump("bad.prof", {"format": "top"})
    assert caught.value.code == "bad_dump"


def test_a_full_disk_is_said(take, folder, mounted, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted(small, "-t", "tmpfs", "-o", "size=160k", "tmpfs")
    name = take(0, **{f"function_{number}": number + 1 for number in range(600)})
    (small / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(NoSpaceError):
        Views(DumpFolder(small), 1 << 20).of_dump(name, {"format": "flamegraph"})
    assert hidden(small) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "nope"}, "format='nope'"),
        ({"format": "top", "by": "nope"}, "by='nope'"),
        ({"format": "top", "limit": "0"}, "limit='0'"),
        ({"format": "pprof", "by": "line"}, "heeds no by"),
        ({"format": "top", "focus": "("}, r"focus='\('"),
    ],
)
def test_options_that_are_not_possible_are_bad_requests(views, take, folder, options, said):
    name = take(0, leak=1)
    for ask in (
        lambda: views.of_dump(name, options),
        lambda: views.of_difference(name, name, options),
    ):
        with pytest.raises(BadRequestError, match=said) as caught:
            ask()
        assert caught.value.remedy
    assert hidden(folder) == []


def test_a_dump_that_is_not_there_is_not_found(views, take):
    with pytest.raises(NotFoundError):
        views.of_dump("none.prof", {"format": "top"})
    with pytest.raises(NotFoundError):
        views.of_difference("none.prof", take(0, leak=1), {"format": "top"})


# --- several processes ----------------------------------------------------------------------


@pytest.fixture
def three(take):
    """Three processes' dumps, of which the second holds much; and an older one of the first."""
    take(0, pid="1", leak=10**6)
    dumps = {"1": 1000, "2": 9000, "3": 1100}
    return [
        take(10 + number, pid=pid, leak=held, cache=500)
        for number, (pid, held) in enumerate(dumps.items())
    ]


@pytest.mark.parametrize("made", FORMATS)
def test_every_format_of_all_processes_together(views, three, made):
    for by in ({}, {"by": "process"}):
        answer = views.merged({"format": made, **by})
        assert answer.name == f"{three[2].removesuffix('.prof')}-merged.{FORMATS[made].suffix}"
        assert bool(answer.page_policy) == (made == "flamegraph")
        read = content(answer)
        read = gzip.decompress(read) if made == "pprof" else read
        assert (b"process 2" in read) == bool(by)


def test_the_newest_dump_of_each_process_counts(views, three):
    assert content(views.merged({"format": "folded"})) == b"main;leak 11100\nmain;cache 1500\n"


def test_which_dumps_can_be_chosen(views, three):
    chosen = {"format": "folded", "dumps": ",".join(three[:2])}
    assert content(views.merged(chosen)) == b"main;leak 10000\nmain;cache 1000\n"
    short = {"format": "folded", "within": "60"}
    assert content(views.merged(short)) == b"main;leak 10100\nmain;cache 1000\n"
    with pytest.raises(NotFoundError):
        views.merged({"dumps": "none.prof"})


def test_who_stands_out_and_why(views, three):
    told = json.loads(content(views.outliers({})))
    assert [(row["pid"], row["outlier"]) for row in told["processes"]] == [
        (2, True),
        (3, False),
        (1, False),
    ]
    (odd,) = told["outliers"]
    assert (odd["dump"], odd["excesses"][0]["excess"]) == (three[1], 7950)
    assert b"Process 2 has" in content(views.outliers({"format": "text"}))


def test_what_was_made_of_several_is_kept_until_one_of_them_goes(views, three, folder, monkeypatch):
    first = content(views.merged({"format": "top"})), content(views.outliers({}))
    assert len(hidden(folder)) == 2
    monkeypatch.setattr(conversion, "convert", lambda *_: pytest.fail("made again"))
    assert (content(views.merged({"format": "top"})), content(views.outliers({}))) == first
    DumpFolder(folder).delete(three[0])
    assert hidden(folder) == []


def test_a_new_round_is_looked_at_anew(views, three, take):
    assert b"leak 11100" in content(views.merged({"format": "folded"}))
    take(20, pid="3", leak=5000)
    assert b"leak 15000" in content(views.merged({"format": "folded"}))


def test_a_bad_dump_among_several_is_named(views, three, folder):
    (folder / three[1]).write_bytes(b"--- symbol\n# pid: 2\n---\nnonsense\n")
    os.utime(folder / three[1], (TAKEN + 660,) * 2)
    for made in (views.merged, views.outliers):
        with pytest.raises(RequestError, match=three[1]) as caught:
            made({})
        assert caught.value.code == "bad_dump"
    assert hidden(folder) == []


def test_one_that_goes_before_it_is_read_is_not_found(views, three, folder, monkeypatch):
    convert = conversion.convert

    def delete_and_convert(*arguments):
        (folder / three[0]).unlink()
        return convert(*arguments)

    monkeypatch.setattr(conversion, "convert", delete_and_convert)
    with pytest.raises(NotFoundError, match=three[0]):
        views.merged({})
    assert hidden(folder) == []


def test_many_dumps_take_few_descriptors(views, take, monkeypatch):
    for number in range(60):
        take(number % 50, pid=str(number + 1), leak=number + 1)
    taken = []
    monkeypatch.setattr(conversion, "convert", lambda _job, files, *_: taken.append(len(files)))
    for answer in (views.merged({"format": "folded"}), views.outliers({})):
        answer.file.close()
    assert taken == [2, 2]


def test_growth_is_that_of_one_process(views, take):
    for minute in range(3):
        for pid in ("1", "2", "3"):
            take(minute, pid=pid, **{f"leak{pid}": 1000 * minute + 1})
    take(4, pid="2", leak2=4000)
    assert b"leak2" in content(views.of_growth({"format": "csv"}))
    other = content(views.of_growth({"format": "csv", "pid": "3"}))
    assert b"leak3" in other
    assert b"leak2" not in other


def test_the_growth_of_one_among_many_is_not_lost(views, take):
    take(0, pid="1", leak=1000)
    for number in range(60):
        take(1, pid=str(number + 2), leak=5)
    take(2, pid="1", leak=9000)
    assert b"leak" in content(views.of_growth({"format": "csv"}))
