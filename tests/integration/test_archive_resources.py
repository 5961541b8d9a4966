"""A host that runs out of disk or descriptors: its archives are whole, and say what is missing."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import shutil

import pytest

MEBIBYTE = 1 << 20

TEXT_AND_DUMP = """
def members():
    dump = member("dump.prof", folder / "dump.prof", verbatim=True)
    return [member("large.log", folder / "large.log"), dump]
"""
TEXT = b"a line of twenty-two.\n" * 100_000


def contribute_large(host, dump=16 * MEBIBYTE):
    host.contribute(TEXT_AND_DUMP)
    (host.files / "large.log").write_bytes(TEXT)
    (host.files / "dump.prof").write_bytes(os.urandom(dump))


def dump_of(host):
    return (host.files / "dump.prof").read_bytes()


# --- the disk ------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmpfs, run):
    """Return a function that changes how large the disk below the output directory is."""

    def resize(mebibytes):
        done = run(["mount", "-o", f"remount,size={mebibytes}m", str(tmpfs)])
        assert done.returncode == 0, done.stderr

    return resize


@pytest.fixture
def cramped(archiving, tmpfs, disk):
    """Run a host whose output directory lies on a disk of one megabyte."""
    host = archiving(output_directory=str(tmpfs / "diagnostics"))
    yield host
    host.host.stop()


def test_a_full_disk_costs_the_text_that_must_wait_on_it(cramped):
    with cramped.unharmed():
        contribute_large(cramped)
        archive = cramped.archive()
        assert archive.failures == {"faulty/large.log": "no_space"}
        assert "output directory" in archive.messages["faulty/large.log"]
        assert archive.files["faulty/dump.prof"] == dump_of(cramped)
        assert archive.has_all_sound()
        assert cramped.left() == set()


def test_a_disk_that_fills_up_costs_what_would_be_kept(cramped, disk, tmpfs):
    with cramped.unharmed():
        disk(100)
        contribute_large(cramped)
        with cramped.download() as response:
            begun = response.read(MEBIBYTE)
            fill(tmpfs / "filler")
            archive = cramped.read(begun + response.read())
        assert archive.files["faulty/dump.prof"] == dump_of(cramped)
        assert archive.failures == {"faulty/large.log": "no_space"}  # its turn came later
        assert cramped.kept() == set()
        (tmpfs / "filler").unlink()
    contribute_large(cramped)
    assert cramped.archive().files["faulty/dump.prof"] == dump_of(cramped)
    assert len(cramped.kept()) == 1
    assert cramped.archive().files["faulty/dump.prof"] == dump_of(cramped)


def fill(path):
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))


def test_a_disk_that_fills_up_between_two_files(cramped, disk):
    """What is full when a file's turn has come was not when the first one's had."""
    disk(100)
    with cramped.unharmed():
        cramped.contribute(
            """
            def members():
                text = b"a line of twenty-two.\\n" * 100_000
                return [
                    member("1.log", lambda: text),
                    member("2.log", lambda: fill() or text),
                    member("3.log", lambda: text),
                ]

            def fill():
                Path(OUTPUT, "filler").write_bytes(bytes(50 << 20))
        """.replace("OUTPUT", repr(str(cramped.host.output)))
        )
        archive = cramped.archive()
        assert archive.failures == {f"faulty/{n}.log": "no_space" for n in (2, 3)}
        assert archive.files["faulty/1.log"] == TEXT
        (cramped.host.output / "filler").unlink()


def test_an_output_directory_that_was_removed(archiving):
    host = archiving()
    with host.unharmed():
        contribute_large(host)
        shutil.rmtree(host.host.output)
        archive = host.archive()
        assert archive.files["faulty/dump.prof"] == dump_of(host)
        assert archive.has_all_sound()
        assert set(archive.failures) == {"faulty/large.log"}


# --- descriptors ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def poor(archiving):
    return archiving()


@contextlib.contextmanager
def only(pid, free):
    """Let a process open no more than `free` descriptors."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = set(map(int, os.listdir(f"/proc/{pid}/fd")))
    limit = next(n for n in itertools.count() if len(set(range(n)) - taken) == free)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("free", range(7))
def test_a_host_without_descriptors(poor, free):
    with poor.unharmed(), contextlib.closing(poor.connect()) as connection:
        contribute_large(poor, 2 * MEBIBYTE)
        connection.request("GET", "/diagnostics", headers=poor.headers | {"Connection": ""})
        connection.getresponse().read()
        with only(poor.host.pid, free):
            path = "/diagnostics/export?without=binary"
            connection.request("GET", path, headers=poor.headers)
            archive = poor.read(connection.getresponse().read())
        assert set(archive.failures.values()) <= {"hook_failed", "unreadable"}
        assert archive.files["sound/called.txt"] == b"sound call\n"
        assert all("Too many open files" in message for message in archive.messages.values())
