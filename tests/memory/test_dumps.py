import fcntl
import multiprocessing
import os
import socket
import stat
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endoscope import BadRequestError, NotFoundError, UnavailableError
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.retention import Limits
from endoscope_profiles import jemalloc_heap


@pytest.fixture
def dumps(folder):
    return DumpFolder(folder)


def add(dumps, name, size=1, age=0):
    path = dumps.directory / name
    path.write_bytes(b"x" * size)
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def record(dumps, content, stem):
    with dumps.draft() as draft:
        draft.path.write_bytes(content)
        return dumps.adopt(draft, stem, os.getpid())


def names(dumps):
    return [dump.name for dump in dumps.newest_first()]


def contents(directory):
    return sorted(path.name for path in Path(directory).iterdir())


# --- names -------------------------------------------------------------------------------

GOOD_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.prof", fullmatch=True)
BAD_NAMES = [
    "",
    ".prof",
    ".hidden.prof",
    "-x.prof",
    "a.prof\n",
    "a\n.prof",
    "a.prof\0",
    "a/b.prof",
    "../a.prof",
    "..",
    "a b.prof",
    "\N{LATIN SMALL LETTER E WITH ACUTE}.prof",
    "\N{ARABIC-INDIC DIGIT ONE}.prof",
    "a.PROF",
    "a" * 129 + ".prof",
    "a" * 5000 + ".prof",
    "\udcff.prof",
]


@given(GOOD_NAMES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_good_name_is_looked_for(dumps, name):
    with pytest.raises(NotFoundError) as caught:
        dumps.open(name)
    assert caught.value.code == "dump_not_found"


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused(dumps, name):
    for do in (dumps.open, dumps.delete):
        with pytest.raises(BadRequestError) as caught:
            do(name)
        assert caught.value.code == "bad_dump_name"


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_is_ever_opened_outside_of_the_folder(dumps, name):
    (dumps.directory.parent / "secret.prof").write_text("secret")
    with pytest.raises((BadRequestError, NotFoundError)):
        dumps.open(f"../{name}")
    with pytest.raises((BadRequestError, NotFoundError)):
        dumps.open(name)


# --- what is no dump ---------------------------------------------------------------------


@pytest.fixture
def strange_things(dumps):
    """Everything with a dump's name that is none, and a file without one."""
    folder = dumps.directory
    outside = folder.parent / "outside.prof"
    outside.write_text("outside")
    (folder / "link.prof").symlink_to(outside)
    (folder / "dangling.prof").symlink_to("nowhere")
    (folder / "directory.prof").mkdir()
    os.mkfifo(folder / "fifo.prof")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(folder)
        listener.bind("socket.prof")
        os.chdir(here)
    (folder / "notes.txt").write_text("notes")
    return contents(folder)


@pytest.mark.parametrize("kind", ["link", "dangling", "directory", "fifo", "socket"])
def test_what_is_no_regular_file_is_neither_opened_nor_deleted(dumps, strange_things, kind):
    for do in (dumps.open, dumps.delete):
        with pytest.raises(NotFoundError):
            do(f"{kind}.prof")
    assert contents(dumps.directory) == strange_things


def test_listing_clearing_and_retention_pass_over_what_is_no_dump(dumps, strange_things):
    add(dumps, "real.prof")
    assert names(dumps) == ["real.prof"]
    dumps.trim(Limits(1, 1), newest="real.prof")
    assert dumps.clear().deleted == 1
    assert contents(dumps.directory) == strange_things
    assert (dumps.directory.parent / "outside.prof").read_text() == "outside"


# --- listing, reading, deleting ----------------------------------------------------------


def test_the_newest_comes_first(dumps):
    for name, age in [("a.prof", 20), ("b.prof", 0), ("c.prof", 10)]:
        add(dumps, name, age=age)
    assert names(dumps) == ["b.prof", "c.prof", "a.prof"]


def test_a_listed_dump_tells_size_and_time(dumps):
    path = add(dumps, "a.prof", size=7)
    os.utime(path, (0, 1735689599.5))
    (dump,) = dumps.newest_first()
    assert (dump.size, dump.modified, dump.created) == (7, 1735689599.5, "2024-12-31T23:59:59Z")


def test_a_dump_is_read_to_the_end_though_it_is_deleted_meanwhile(dumps):
    add(dumps, "a.prof", size=100_000)
    with dumps.open("a.prof") as file:
        dumps.delete("a.prof")
        assert names(dumps) == []
        assert file.read() == b"x" * 100_000


def test_deleting_twice_finds_nothing_the_second_time(dumps):
    add(dumps, "a.prof")
    dumps.delete("a.prof")
    with pytest.raises(NotFoundError):
        dumps.delete("a.prof")


def test_clearing_goes_on_past_what_cannot_be_deleted(dumps, mounted):
    for name in ("a.prof", "b.prof", "c.prof"):
        add(dumps, name)
    stuck = dumps.directory / "b.prof"
    mounted(stuck, "--bind", str(stuck))  # deleting a mount point fails with EBUSY
    cleared = dumps.clear()
    assert (cleared.deleted, cleared.errors) == (2, {"b.prof": os.strerror(16)})
    assert names(dumps) == ["b.prof"]


@pytest.mark.parametrize("change", ["missing", "symlink", "file"])
def test_a_folder_that_is_not_what_it_was_is_said(dumps, change):
    dumps.directory.rmdir()
    if change == "symlink":
        dumps.directory.symlink_to(dumps.directory.parent)
    if change == "file":
        dumps.directory.write_text("")
    with pytest.raises(UnavailableError) as caught:
        dumps.newest_first()
    assert str(dumps.directory) in caught.value.remedy


def test_no_descriptor_is_left_open(dumps):
    before = set(contents("/proc/self/fd"))
    add(dumps, "a.prof")
    record(dumps, b"b", "b")
    dumps.open("a.prof").close()
    dumps.trim(Limits(1, 1), newest="b.prof")
    dumps.sweep()
    dumps.clear()
    assert set(contents("/proc/self/fd")) == before


# --- new dumps ---------------------------------------------------------------------------


def test_a_draft_is_private_invisible_and_gone_when_given_up(dumps):
    with dumps.draft() as draft:
        mode = stat.S_IMODE(draft.path.stat().st_mode)
        assert (mode, names(dumps)) == (0o600, [])
    assert contents(dumps.directory) == []


def test_a_draft_is_gone_when_writing_fails(dumps):
    with pytest.raises(ZeroDivisionError), dumps.draft():
        1 / 0  # noqa: B018 - any failure
    assert contents(dumps.directory) == []


def test_equal_names_get_numbers_and_nothing_is_overwritten(dumps):
    made = [record(dumps, content, "router_heap_dump_1").name for content in (b"a", b"b", b"c")]
    assert made == [f"router_heap_dump_1{suffix}.prof" for suffix in ("", "-1", "-2")]
    assert [(dumps.directory / name).read_bytes() for name in made] == [b"a", b"b", b"c"]
    assert len(contents(dumps.directory)) == 3


def test_a_file_system_without_hard_links_will_do(dumps, monkeypatch):
    def link(*_arguments, **_options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    test_equal_names_get_numbers_and_nothing_is_overwritten(dumps)


def _record_many(directory, count):
    dumps = DumpFolder(directory)
    for number in range(count):
        record(dumps, f"{os.getpid()} {number}".encode(), "same")


def test_processes_that_share_the_folder_do_not_overwrite_each_other(dumps):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_record_many, args=(dumps.directory, 25)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    contents = {path.read_bytes() for path in dumps.directory.iterdir()}
    assert len(contents) == 100


def test_a_draft_says_why_it_cannot_be_written(tmp_path, mounted):
    mounted(tmp_path, "-t", "tmpfs", "-o", "size=64k", "none")
    with DumpFolder(tmp_path).draft() as draft:
        error = draft.write_error()
    assert isinstance(error, OSError)
    assert error.errno == 28  # ENOSPC


def test_a_draft_that_can_be_written_has_no_error(dumps):
    with dumps.draft() as draft:
        assert draft.write_error() is None


def test_only_old_drafts_are_swept_away(dumps):
    with dumps.draft() as draft:
        abandoned = dumps.directory / f".{'0' * 16}.part"
        abandoned.write_text("half a dump")
        os.utime(abandoned, (0, 0))
        dumps.sweep()
        assert contents(dumps.directory) == [draft.path.name]


# --- retention ---------------------------------------------------------------------------


@pytest.fixture
def five(dumps):
    for age in range(5):
        add(dumps, f"{age}.prof", size=10, age=age)
    return dumps


@pytest.mark.parametrize(
    ("keep_dumps", "keep_bytes", "kept"),
    [(5, 50, 5), (3, 50, 3), (5, 49, 4), (5, 20, 2), (1, 50, 1), (5, 1, 1)],
)
def test_the_oldest_go_first_and_the_newest_never(five, keep_dumps, keep_bytes, kept):
    five.trim(Limits(keep_dumps, keep_bytes), newest="0.prof")
    assert names(five) == [f"{age}.prof" for age in range(kept)]


def test_one_that_is_being_read_stays_until_it_is_closed(five):
    with five.open("4.prof"):
        assert five.trim(Limits(2, 50), newest="0.prof") == ["3.prof", "2.prof", "1.prof"]
        assert names(five) == ["0.prof", "4.prof"]
    assert five.trim(Limits(1, 50), newest="0.prof") == ["4.prof"]


def test_one_that_another_process_reads_stays(five):
    def read(started, done):
        with DumpFolder(five.directory).open("4.prof"):
            started.set()
            done.wait(10)

    context = multiprocessing.get_context("fork")
    started, done = context.Event(), context.Event()
    reader = context.Process(target=read, args=(started, done))
    reader.start()
    assert started.wait(10)
    five.trim(Limits(1, 50), newest="0.prof")
    assert names(five) == ["0.prof", "4.prof"]
    done.set()
    reader.join()


def test_readers_do_not_keep_each_other_out(five):
    with five.open("4.prof") as one, five.open("4.prof") as other:
        assert one.read() == other.read()


def test_a_dump_locked_by_retention_can_still_be_read(five):
    with (five.directory / "4.prof").open() as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        with five.open("4.prof") as file:
            assert file.read() == b"x" * 10


def test_a_round_of_dumps_of_many_processes_deletes_nothing_of_it(dumps):
    names_of = {pid: add_of(dumps, pid) for pid in range(1, 201)}
    for name in names_of.values():
        assert dumps.trim(Limits(1, 1 << 30), newest=name) == []
    assert len(names(dumps)) == 200


def add_of(dumps, pid):
    content = b"".join(jemalloc_heap.write([], facts={"pid": str(pid)}))
    return record(dumps, content, "round").name


def _dump_and_trim(directory, start, kept):
    dumps = DumpFolder(directory)
    start.wait()
    with dumps.draft() as draft:
        content = b"".join(jemalloc_heap.write([], facts={"pid": str(os.getpid())}))
        draft.path.write_bytes(content)
        name = dumps.adopt(draft, "same_second", os.getpid()).name
    dumps.trim(Limits(1, 1 << 30), newest=name)
    kept.put((name, os.getpid()))


def test_processes_that_dump_in_the_same_second_all_keep_their_dump(dumps):
    context = multiprocessing.get_context("fork")
    start, kept = context.Barrier(20), context.SimpleQueue()
    workers = [
        context.Process(target=_dump_and_trim, args=(dumps.directory, start, kept))
        for _ in range(20)
    ]
    for worker in workers:
        worker.start()
    made = dict(kept.get() for _ in workers)
    for worker in workers:
        worker.join()
    assert {dump.name: dump.pid for dump in dumps.newest_first()} == made
    assert len(set(made.values())) == 20


def _trim(directory, start, newest, done):
    start.wait()
    done.put(DumpFolder(directory).trim(Limits(30, 1 << 30), newest=newest))


def test_processes_that_trim_at_once_delete_no_more_than_one_would(dumps):
    for age in range(100):
        add(dumps, f"{age}.prof", age=age)
    context = multiprocessing.get_context("fork")
    start, done = context.Barrier(8), context.SimpleQueue()
    workers = [
        context.Process(target=_trim, args=(dumps.directory, start, "0.prof", done))
        for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    deleted = [name for _ in workers for name in done.get()]
    for worker in workers:
        worker.join()
    assert names(dumps) == [f"{age}.prof" for age in range(30)]
    assert len(deleted) == len(set(deleted)) == 70
