import os
import time

import pytest

from endoscope_memory import listing
from endoscope_memory.listing import Listing
from endoscope_profiles import Frame, jemalloc_heap

SAMPLE = [((Frame("f", "/srv/app.py", 7),), 1, 5000)]


def write(folder, name, binary="/usr/bin/python3", **facts):
    dump = jemalloc_heap.write(SAMPLE, facts=facts, binary=binary)
    (folder / name).write_bytes(b"".join(dump))


@pytest.fixture
def pids(folder):
    """List the dumps, by name whose they are."""
    listed = Listing()

    def ask():
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            return {dump.name: dump.pid for dump in listed.newest_first(descriptor)}
        finally:
            os.close(descriptor)

    return ask


def test_whose_a_dump_is_stands_in_its_first_bytes(folder, pids):
    write(folder, "a.prof", service="shop", pid="123")
    write(folder, "b.prof", service="shop", pid="4194304")
    write(folder, "c.prof", binary="/" + "x" * 4095, service="y" * 1000, pid="7")
    assert pids() == {"a.prof": 123, "b.prof": 4194304, "c.prof": 7}


def test_one_that_does_not_say_is_listed_all_the_same(folder, pids):
    write(folder, "a.prof", service="shop")
    write(folder, "b.prof", pid="-1")
    write(folder, "c.prof", pid="9" * 30)
    (folder / "d.prof").write_bytes(b"")
    (folder / "e.prof").write_bytes(b"heap_v2/1\n  t*: 0: 0 [0: 0]\n# pid: 7\n")
    assert pids() == dict.fromkeys(("a.prof", "b.prof", "c.prof", "d.prof", "e.prof"))


def test_each_is_looked_into_once_and_again_when_it_is_another(folder, pids, monkeypatch):
    looked = []
    look = listing.facts.pid_in
    monkeypatch.setattr(listing.facts, "pid_in", lambda head: looked.append(1) or look(head))
    for number in range(3):
        write(folder, f"{number}.prof", pid=str(number + 1))
    assert pids() == pids() == {"0.prof": 1, "1.prof": 2, "2.prof": 3}
    assert len(looked) == 3
    write(folder, "1.prof", pid="17")
    os.utime(folder / "1.prof", (1, 1))
    assert pids()["1.prof"] == 17
    assert len(looked) == 4


def test_nothing_is_remembered_of_those_that_are_gone(folder, monkeypatch):
    listed = Listing()
    descriptor = os.open(folder, os.O_RDONLY)
    for number in range(20):
        write(folder, f"{number}.prof", pid=str(number))
        listed.newest_first(descriptor)
        (folder / f"{number}.prof").unlink()
    assert listed.newest_first(descriptor) == []
    os.close(descriptor)
    assert listed._pids == {}


def test_a_thousand_are_listed_in_no_time(folder, pids):
    for number in range(1000):
        write(folder, f"{number}.prof", service="shop", pid=str(number))
    began = time.monotonic()
    assert len(pids()) == 1000
    assert time.monotonic() - began < 2
