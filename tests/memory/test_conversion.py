import contextlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time

import pytest

from endoscope import BadRequestError, BusyError, NotSupportedError, RequestError
from endoscope_memory import conversion
from endoscope_profiles import Frame, jemalloc_heap

RECORDS = [((Frame("leak", "/srv/app.py", 7), Frame("main", "/srv/app.py", 1)), 3, 3000)]


@pytest.fixture
def dump(tmp_path):
    path = tmp_path / "x.prof"
    path.write_bytes(b"".join(jemalloc_heap.write(RECORDS)))
    with path.open("rb") as file:
        yield file


@pytest.fixture
def output(tmp_path):
    with (tmp_path / "output").open("w+b") as file:
        yield file


def view(**options):
    return {"kind": "view", "sources": 1, "options": options, "title": "x"}


def convert(job, *files):
    return conversion.convert(job, [file.fileno() for file in files], 1000)


def descriptors():
    return sorted(os.listdir("/proc/self/fd"))


def children():
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as file:
        return file.read().split()


def test_a_view_is_written_to_the_file(dump, output):
    assert convert(view(format="folded"), dump, output) is None
    output.seek(0)
    assert b"main;leak 3000\n" in output.read()


def test_a_job_may_answer(dump):
    answer = convert({"kind": "top", "sources": 1, "limit": 5, "notes": ["n"]}, dump)
    assert (answer["live_bytes"], answer["notes"]) == (3000, ["n"])
    assert answer["stacks"][0]["frames"][0] == {
        "function": "leak",
        "file": "/srv/app.py",
        "line": 7,
    }


def test_nothing_is_left_behind(dump, output):
    convert(view(), dump, output)
    before = descriptors()
    for _ in range(3):
        convert(view(), dump, output)
        with contextlib.suppress(BadRequestError):
            convert(view(format="nope"), dump, output)
    assert (descriptors(), children()) == (before, [])


def test_what_cannot_be_asked_is_a_bad_request(dump, output):
    with pytest.raises(BadRequestError, match="format='nope'") as caught:
        convert(view(format="nope"), dump, output)
    assert (caught.value.code, "top, csv" in caught.value.remedy) == ("bad_parameter", True)


def test_a_damaged_dump_is_told_from_a_bad_question(tmp_path, output):
    (tmp_path / "bad").write_bytes(b"no dump\n")
    with (tmp_path / "bad").open("rb") as file, pytest.raises(RequestError) as caught:
        convert(view(), file, output)
    assert (caught.value.code, caught.value.status) == ("bad_dump", 500)
    assert "line 1" in caught.value.message


def test_a_failure_to_write_is_an_oserror(dump):
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="space"):
        convert(view(), dump, full)


def test_a_pattern_that_takes_for_ever_ends_in_time(tmp_path, output):
    stack = (Frame("a" * 200 + "!", "x.py", 1),)
    (tmp_path / "x").write_bytes(b"".join(jemalloc_heap.write([(stack, 1, 1)])))
    with (tmp_path / "x").open("rb") as file, pytest.raises(RequestError) as caught:
        conversion.convert(view(focus="^(a|a)*$"), [file.fileno(), output.fileno()], 1000, 1)
    assert caught.value.code == "conversion_failed"
    assert children() == []


def test_more_memory_than_it_may_take_ends_it_and_not_us(tmp_path, output, monkeypatch):
    monkeypatch.setattr(conversion, "_memory", lambda _bytes: 150 << 20)
    records = (((Frame(f"f{n}", f"{n}.py", 1), *RECORDS[0][0]), 1, n) for n in range(1, 200_000))
    (tmp_path / "x").write_bytes(b"".join(jemalloc_heap.write(records)))
    with (tmp_path / "x").open("rb") as file, pytest.raises(RequestError) as caught:
        convert(view(), file, output)
    assert caught.value.code == "conversion_failed"
    assert "memory" in caught.value.message


def test_a_third_at_a_time_is_refused(dump, output, monkeypatch):
    monkeypatch.setattr(conversion, "_WAIT_SECONDS", 0.01)
    with conversion._slot(), conversion._slot(), pytest.raises(BusyError):
        convert(view(), dump, output)
    for _ in range(conversion._AT_ONCE + conversion._WAITING):
        conversion._places.acquire()
    with pytest.raises(BusyError):  # at once
        convert(view(), dump, output)
    for _ in range(conversion._AT_ONCE + conversion._WAITING):
        conversion._places.release()
    convert(view(), dump, output)


def test_it_is_modest(dump, monkeypatch):
    """The limits are seen from within: by a job of the process itself."""
    look = (
        "import json, os, resource, endoscope_memory.converter as c; "
        "c._KINDS = dict(look=lambda job: [os.nice(0), resource.getrlimit(resource.RLIMIT_AS)[0], "
        "open('/proc/self/oom_score_adj').read().strip(), os.getpgid(0) == os.getpid(), "
        "sorted(os.environ)]); "
    )
    monkeypatch.setattr(
        conversion, "_BEGIN", conversion._BEGIN.replace("main()", f"{look}c.main()", 1)
    )
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    monkeypatch.setenv("LD_PRELOAD", "/nowhere.so")
    nice, memory, score, own_group, names = convert({"kind": "look", "sources": 1}, dump)
    assert nice >= 10
    assert memory == conversion._memory(1000)
    assert (score, own_group) == ("1000", True)
    assert set(names) <= {*conversion._ENVIRONMENT, "LC_CTYPE"}


def test_a_host_that_reaps_all_children_is_no_trouble(dump, output):
    reaped, done = [], threading.Event()

    def reap():
        while not done.is_set():
            with contextlib.suppress(ChildProcessError):
                reaped.append(os.waitpid(-1, os.WNOHANG))
            time.sleep(0.001)

    thread = threading.Thread(target=reap)
    thread.start()
    try:
        for _ in range(5):
            convert(view(), dump, output)
    finally:
        done.set()
        thread.join()


def test_a_host_that_is_no_python_is_told_so(dump, output, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    monkeypatch.setattr(sys, "exec_prefix", "/nowhere")
    with pytest.raises(NotSupportedError, match="no python") as caught:
        convert(view(), dump, output)
    assert "endoscope report" in caught.value.remedy


def test_a_module_of_the_host_s_is_not_taken_for_the_library_s(dump, output, tmp_path, monkeypatch):
    for name in ("resource.py", "csv.py", "zstandard.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), tmp_path, *sys.path])
    convert(view(format="csv"), dump, output)
    assert not (tmp_path / "ran").exists()


def test_what_the_host_lets_children_inherit_is_not_for_this_one(dump, monkeypatch):
    look = "import os, endoscope_memory.converter as c; here = '/proc/self/fd/'; "
    look += "link = lambda name: os.path.exists(here + name) and os.readlink(here + name); "
    look += "c._KINDS = dict(look=lambda job: [*map(link, os.listdir(here))]); c.main()"
    began = conversion._BEGIN.replace("main()", look)
    monkeypatch.setattr(conversion, "_BEGIN", began)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.set_inheritable(True)
        seen = convert({"kind": "look", "sources": 1}, dump)
        assert str(dump.name) in seen
        assert os.readlink(f"/proc/self/fd/{listening.fileno()}") not in seen


def test_one_that_was_stopped_is_ended_in_time(tmp_path, output, monkeypatch):
    monkeypatch.setattr(conversion, "_GRACE_SECONDS", 0)
    monkeypatch.setattr(
        conversion,
        "_BEGIN",
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); {end}; {path}",
    )
    (tmp_path / "x").write_bytes(b"x")
    with (tmp_path / "x").open("rb") as file, pytest.raises(RequestError, match="too long"):
        conversion.convert(view(), [file.fileno(), output.fileno()], 1, 1)
    assert children() == []


def test_one_that_is_killed_says_so_at_once(dump, output, monkeypatch):
    monkeypatch.setattr(conversion, "_BEGIN", "import os; os.kill(os.getpid(), 9); {end}; {path}")
    began = time.monotonic()
    with pytest.raises(RequestError, match="was killed"):
        convert(view(), dump, output)
    assert time.monotonic() - began < conversion.SECONDS / 2


def test_a_fork_of_the_host_s_meanwhile_holds_nothing_up(dump, output):
    """A child of the host's that was forked at the wrong moment has all descriptors."""
    spawn, forked = conversion._spawn, []

    def spawn_beside_a_fork(job, files):
        if (child := os.fork()) == 0:
            time.sleep(100)  # the test ends it
            os._exit(0)
        forked.append(child)
        return spawn(job, files)

    try:
        conversion._spawn = spawn_beside_a_fork
        convert(view(), dump, output)
        convert(view(), dump, output)
    finally:
        conversion._spawn = spawn
        for child in forked:
            os.kill(child, 9)
            os.waitpid(child, 0)
    assert len(forked) == 2


def test_without_descriptors_nothing_leaks(dump, output):
    before = descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (conversion._ABOVE_ALL + 1, hard))
    try:
        with pytest.raises(RequestError, match="No process can be started"):
            convert(view(), dump, output)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert descriptors() == before


def test_gevent_s_replacements_are_not_used(hosted, folder):
    pytest.importorskip("gevent")
    snippet = """
from gevent import monkey; monkey.patch_all()
import sys, threading
from endoscope_memory import conversion
from endoscope_profiles import Frame, jemalloc_heap
dump, output = open(sys.argv[1] + "/x", "w+b"), open(sys.argv[1] + "/y", "w+b")
dump.writelines(jemalloc_heap.write([((Frame("leak"),), 1, 7)])); dump.flush()
job = {"kind": "view", "sources": 1, "options": {"format": "folded"}, "title": ""}
conversion.convert(job, [dump.fileno(), output.fileno()], 100)
output.seek(0); print(output.read().decode())"""
    done = subprocess.run(
        [sys.executable, "-c", snippet, folder], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "leak 7\n\n"), done.stderr
