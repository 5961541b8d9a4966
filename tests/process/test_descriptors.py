import json
import os
import select
import socket
import stat
import subprocess
import sys

import pytest

from endoscope_process import descriptors
from endoscope_process.descriptors import Descriptor, Tally
from endoscope_process.kernel import FileStatus


def kinds():
    return descriptors.tell()["kinds"]


def shown(number):
    (found,) = [each for each in descriptors.open_descriptors() if each.number == number]
    return found


def test_the_numbers_are_those_of_ls():
    snippet = """
import json, os
from subprocess import PIPE, Popen
from endoscope_process import descriptors
script = f"read go; ls /proc/{os.getpid()}/fd"
child = Popen(["bash", "-c", script], stdin=PIPE, stdout=PIPE)
ours = [each.number for each in descriptors.open_descriptors()]
count = descriptors.count()
child.stdin.write(b"go\\n")
child.stdin.flush()
by_ls = sorted(map(int, child.stdout.read().split()))
print(json.dumps([by_ls, ours, count]))
"""
    command = [sys.executable, "-c", snippet]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    by_ls, ours, count = json.loads(output)
    assert ours == by_ls
    assert count == len(by_ls)


def test_how_many_there_may_be():
    limit = subprocess.run(
        ["bash", "-c", "ulimit -n"], capture_output=True, check=True, text=True
    ).stdout.strip()
    assert str(descriptors.soft_limit()) == limit


def test_every_kind_is_told_from_the_others(tmp_path):
    file = tmp_path / "file"
    file.touch()
    os.mkfifo(tmp_path / "fifo")
    opened = {
        "file": os.open(file, os.O_RDONLY),
        "directory": os.open(tmp_path, os.O_RDONLY),
        "fifo": os.open(tmp_path / "fifo", os.O_RDWR),
        "device": os.open("/dev/null", os.O_RDONLY),
        "pipe": (ends := os.pipe())[0],
        "eventfd": os.eventfd(0),
        "memfd": os.memfd_create("x"),
        "namespace": os.open("/proc/self/ns/mnt", os.O_RDONLY),
        "pidfd": os.pidfd_open(os.getpid()),
    }
    epoll = select.epoll()
    try:
        assert {shown(number).kind: number for number in opened.values()} == opened
        assert shown(epoll.fileno()).kind == "epoll"
    finally:
        epoll.close()
        for number in (*opened.values(), ends[1]):
            os.close(number)


def test_deleted_files_are_shown_with_their_size(tmp_path):
    named, deleted = tmp_path / "named (deleted)", tmp_path / "gone"
    with named.open("wb"), deleted.open("wb") as file:
        file.write(b"x" * 5000)
        file.flush()
        deleted.unlink()
        rows = descriptors.tell()["largest_deleted"]
        found = [row for row in rows if row.number == file.fileno()]
    assert [(row.kind, row.deleted_bytes) for row in found] == [("file", 5000)]
    assert found[0].target == f"{deleted} (deleted)"
    assert str(named) not in [row.target for row in rows]


def test_sockets_are_counted_by_state():
    before = kinds().get("tcp listening", 0)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as unbound:
        during = kinds()
        found = {row.number: row.kind for row in descriptors.tell()["highest_numbers"]}
        assert found[listener.fileno()] == "tcp listening"
        assert found[unbound.fileno()].startswith("socket, not bound")
    assert during["tcp listening"] == before + 1


def test_a_socket_with_two_descriptors_counts_twice():
    before = kinds().get("tcp listening", 0)
    with socket.create_server(("127.0.0.1", 0)) as listener, listener.dup():
        assert kinds()["tcp listening"] == before + 2


def test_the_count_is_the_sum_of_the_kinds():
    found = descriptors.tell()
    assert found["count"] == sum(found["kinds"].values()) == descriptors.count()


def test_of_many_only_some_are_shown():
    numbers = [os.dup(0) for _ in range(descriptors.SHOWN + 50)]
    try:
        found = descriptors.tell()
    finally:
        for number in numbers:
            os.close(number)
    assert found["count"] > descriptors.SHOWN + 50
    assert len(found["highest_numbers"]) == descriptors.SHOWN
    assert found["highest_numbers"] == sorted(found["highest_numbers"], key=lambda row: row.number)
    assert max(numbers) in [row.number for row in found["highest_numbers"]]


def test_of_many_deleted_files_the_largest_are_kept():
    tally = Tally()
    for size in range(descriptors.SHOWN + 50):
        tally.add(Descriptor(size, "file", "/x (deleted)", size))
    assert len(tally.deleted) == descriptors.SHOWN
    assert min(tally.deleted)[0] == 50


def test_descriptors_that_come_and_go_meanwhile_are_no_trouble():
    snippet = """
import os, threading
from endoscope_process import descriptors
def churn():
    for _ in range(3000):
        os.close(os.open("/dev/null", os.O_RDONLY)); os.close(os.eventfd(0))
threads = [threading.Thread(target=churn) for _ in range(4)]
for thread in threads: thread.start()
while any(thread.is_alive() for thread in threads):
    descriptors.tell()
print("done")
"""
    command = [sys.executable, "-c", snippet]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"done\n"


@pytest.mark.parametrize(
    ("target", "status", "kind"),
    [
        ("anon_inode:[eventpoll]", None, "epoll"),
        ("anon_inode:inotify", None, "inotify"),
        ("anon_inode:[timerfd]", None, "timerfd"),
        ("net:[4026531840]", None, "namespace"),
        ("/x", None, "path"),
        ("/x", FileStatus(stat.S_IFBLK, 1, 0), "device"),
        ("/x", FileStatus(0, 1, 0), "path"),
    ],
)
def test_kinds_by_target_and_status(target, status, kind):
    assert descriptors.describe(7, target, status) == Descriptor(7, kind, target)
