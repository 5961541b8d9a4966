"""Processes that a host forks and spawns: they join by themselves, and leave nothing behind."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

TOLD = runpy.run_path(str(Path(__file__).with_name("told_host.py")))
held, measured = TOLD["held"], TOLD["measured"]


@pytest.fixture
def told(launcher, environment, wait_for):
    """Start a host that does what the test tells it."""
    return TOLD["Starter"](launcher, environment, wait_for)


# --- ways to have more processes -----------------------------------------------------------------

WAYS = """
import concurrent.futures, json, multiprocessing, os, sys, time
import endoscope

def work(_=0):
    time.sleep(60)

def children():
    found = []
    for task in os.listdir("/proc/self/task"):
        found += map(int, open(f"/proc/self/task/{task}/children").read().split())
    return found

def begin(way):
    if way == "pool":
        pool = concurrent.futures.ProcessPoolExecutor(2)
        pool.submit(os.getpid).result()
        for n in range(2): pool.submit(work)
    else:
        context = multiprocessing.get_context(way)
        for n in range(2): context.Process(target=work, daemon=True).start()

if __name__ == "__main__":
    if sys.argv[2:]:
        running = endoscope.start(sys.argv[2])
    begin(sys.argv[1])
    sys.stdin.read()
    for pid in children(): os.kill(pid, 9)
    os._exit(0)
"""


@pytest.fixture
def way(launcher, tmp_path, wait_for, environment):
    """Start a host that has other processes in one of the `WAYS`; it ends with the test."""
    program = tmp_path / "ways.py"
    program.write_text(WAYS)

    hosts = []

    def start(name, *, in_code=False):
        if in_code:
            words = ["sh", "-c", f'exec python {program} "{name}" "$CONFIG"']
            host = launcher.start(words, wrapper=[], stdin=subprocess.PIPE, cwd=tmp_path)
        else:
            words = ["python", str(program), name]
            host = launcher.start(words, stdin=subprocess.PIPE, cwd=tmp_path)
        hosts.append(host)
        return host

    yield start
    for host in hosts:
        host.process.stdin.close()
        host.wait()


@pytest.mark.parametrize("in_code", [False, True], ids=["run", "in code"])
@pytest.mark.parametrize(
    ("name", "count"), [("fork", 3), ("spawn", 3), ("forkserver", 4), ("pool", 3)]
)
def test_children_are_processes_of_the_service(way, wait_for, name, count, in_code):
    if in_code and name in {"spawn", "forkserver"}:
        pytest.skip("started afresh, they start diagnostics by their own code or not at all")
    host = way(name, in_code=in_code)
    rows = wait_for(
        "they have joined",
        lambda: (
            [row for row in host.get("/processes") if row["state"] == "serving"][count - 1 :]
            and host.get("/processes")
        ),
    )
    assert len(rows) == count
    assert [row["role"] for row in rows].count("door") == 1
    for pid in [row["pid"] for row in rows]:
        assert host.get(f"?process={pid}")["pid"] == pid
    assert [row["status"] for row in host.post("/memory/start?process=all")["processes"]] == (
        [200] * count
    )
    statuses = host.get("/memory/status?process=all")["processes"]
    assert all(row["answer"]["profiling_active"] for row in statuses)
    dumps = host.post("/memory/dump?process=all")["processes"]
    assert [row["answer"]["status"] for row in dumps] == ["dumped"] * count
    assert len(list((host.output / "memory").glob("*heap_dump*"))) == count
    assert len(host.stderr.splitlines()) == in_code  # where jemalloc is not preloaded


DAEMON = """
import os, sys, time
def daemonise():
    if os.fork(): return False
    os.setsid()
    if os.fork(): os._exit(0)
    for number in range(3, 1024):
        try: os.close(number)
        except OSError: pass
    return True
if daemonise():
    # What the host opens now gets the numbers that Endoscope's had.
    opened = [open(f"{sys.argv[1]}/{n}", "wb", buffering=0) for n in range(40)]
    with open(f"{sys.argv[1]}/pid", "w") as file: file.write(str(os.getpid()))
    deadline = time.monotonic() + 60
    while not os.path.exists(f"{sys.argv[1]}/end") and time.monotonic() < deadline:
        time.sleep(0.02)
    for number, file in enumerate(opened): file.write(b"%d" % number); file.close()
    sys.exit()
os.wait()
if sys.argv[2:]:
    time.sleep(60)
"""


def test_a_daemon_that_forks_twice_and_closes_all_descriptors(launcher, wait_for, tmp_path):
    host = launcher.start(["python", "-c", DAEMON, str(tmp_path)], answering=False)
    pid = int(wait_for("the daemon", lambda: read(tmp_path / "pid")))
    assert host.wait() == 0
    wait_for("its diagnostics", lambda: answered_by(host) == pid)
    (tmp_path / "end").touch()
    wait_for("its end", lambda: not Path(f"/proc/{pid}").exists())
    assert [read(tmp_path / str(n)) for n in range(40)] == [str(n) for n in range(40)]
    assert host.stderr == ""


def test_a_daemon_s_parent_goes_on_as_the_door(launcher, wait_for, tmp_path):
    host = launcher.start(["python", "-c", DAEMON, str(tmp_path), "stay"])
    pid = int(wait_for("the daemon", lambda: read(tmp_path / "pid")))
    rows = wait_for("both", lambda: two(host.get("/processes")))
    assert {row["pid"]: row["role"] for row in rows} == {host.pid: "door", pid: "member"}
    (tmp_path / "end").touch()
    wait_for(
        "the daemon's end", lambda: [row["pid"] for row in host.get("/processes")] == [host.pid]
    )


CLOSING = """
import os, sys, time
time.sleep(2)  # diagnostics run by now
os.closerange(3, 1024)
opened = [open(f"{sys.argv[1]}/{n}", "wb", buffering=0) for n in range(40)]
time.sleep(2)
for number, file in enumerate(opened): file.write(b"%d" % number); file.close()
"""


@pytest.mark.xfail(strict=True, reason="their numbers are closed, and read, once more")
def test_a_host_that_closes_the_descriptors_of_running_diagnostics(launcher, tmp_path):
    done = launcher.run(["python", "-c", CLOSING, str(tmp_path)])
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert [read(tmp_path / str(n)) for n in range(40)] == [str(n) for n in range(40)]


def two(rows):
    return rows if len(rows) == 2 else None


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def answered_by(host):
    try:
        return host.get("")["pid"]
    except OSError:
        return None


def test_programs_that_are_not_python_see_nothing(told):
    service = told()
    look = "subprocess.run(['env'], capture_output=True, text=True).stdout"
    service.do(f"def look(): open(path, 'w').write({look})")
    shown = service.meeting_place.parent / "shown"
    service.do(f"path = {str(shown)!r}; look()")
    assert names_in(shown).isdisjoint(PRELOADING)
    assert service.do("answer = ended(forked(look))") == [0]
    assert names_in(shown).isdisjoint(PRELOADING)


PRELOADING = {"LD_PRELOAD", "MALLOC_CONF", "PYTHONMALLOC"}


def names_in(shown: Path) -> set[str]:
    names = {line.partition("=")[0] for line in shown.read_text().splitlines()}
    shown.unlink()
    assert "PATH" in names
    return names


def test_a_host_with_errors_for_warnings_forks(told):
    service = told("-W", "error")
    children = service.fork(2)
    assert service.pids() == {service.pid, *children}
    assert service.do("answer = ended(forked(lambda: None, 20))") == [0] * 20
    assert service.host.stderr == ""


# --- nothing is left behind ----------------------------------------------------------------------


@pytest.mark.torture
def test_hundreds_of_forks_leave_nothing_behind(told):
    service = told()
    service.ask("/told/whoami?process=all")
    service.do("answer = ended(forked(lambda: None, 10))")
    before = held(service.pid)
    began = time.monotonic()
    for _ in range(20):
        service.do("lasting = forked(lambda: time.sleep(1.5), 3)")
        assert service.do("answer = ended(forked(lambda: None, 20))") == [0] * 20
        assert service.do("answer = ended(forked(lambda: os._exit(3), 2))") == [3] * 2
        assert service.do("answer = ended(lasting)") == [0] * 3
    measured(
        f"500 forks in {time.monotonic() - began:.0f} s, sockets left {len(service.sockets())}"
    )
    assert service.pids() == {service.pid}
    assert {name.split("-")[0] for name in service.sockets()} == {str(service.pid)}
    assert sorted(os.listdir(service.meeting_place)) == sorted({"door", *service.sockets()})
    after = held(service.pid)
    measured(f"descriptors and threads: {before} before, {after} after")
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + 2
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    assert children == []
    assert service.host.stderr == ""


COST = """
import json, os, statistics, sys, time
import endoscope
moments = {}
def note(name):
    return lambda: moments.__setitem__(name, time.perf_counter())
def register(name):  # outside of those that are there already
    os.register_at_fork(before=note(f"before {name}"), after_in_parent=note(f"parent {name}"),
                        after_in_child=note(f"child {name}"))
register("us")
settings = {"enabled": True, "listen": "127.0.0.1:0", "shared_secret": "a-secret-of-ours",
            "output_directory": sys.argv[1]}
diagnostics = endoscope.start(settings=settings)
assert diagnostics.wait_until_serving()
register("host")
reading, writing = os.pipe()
def fork_once():
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(moments["child host"] - moments["child us"]).encode())
        os._exit(0)
    in_child = json.loads(os.read(reading, 100))
    os.waitpid(child, 0)
    before = moments["before us"] - moments["before host"]
    return before + moments["parent host"] - moments["parent us"], in_child
for _ in range(20): fork_once()
print(json.dumps([statistics.median(each) for each in zip(*[fork_once() for _ in range(200)])]))
"""


@pytest.mark.torture
def test_a_fork_costs_little(run, tmp_path):
    """What the handlers take in the parent, and in the child before the host's code goes on."""
    done = run(["python", "-c", COST, tmp_path / "output"])
    parent, child = json.loads(done.stdout)
    measured(
        f"handlers at a fork: {parent * 1e6:.0f} µs in the parent, {child * 1e6:.0f} in the child"
    )
    assert parent < 0.005
    assert child < 0.02


# --- what lies in the meeting place --------------------------------------------------------------


def socket_name(pid: int, started: int) -> str:
    namespace = os.stat(f"/proc/{os.getpid()}/ns/pid").st_ino
    return f"{pid}-{started}-{namespace}-0123abcd.sock"


def started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_the_socket_of_a_process_whose_id_is_another_s_now(told, monkeypatch):
    service = told()
    name = socket_name(os.getpid(), started(os.getpid()) - 1)
    path = service.meeting_place / name
    monkeypatch.chdir(service.meeting_place)  # the whole path is too long for an address
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        listening.listen()
        listening.setblocking(False)
        assert service.pids() == {service.pid}
        assert not path.exists()
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize("living", [True, False])
@pytest.mark.parametrize("kind", ["file", "folder", "link", "fifo"])
def test_what_is_no_socket_does_no_harm(told, tmp_path, kind, living):
    service = told()
    pid = os.getpid() if living else 4_000_000
    path = service.meeting_place / socket_name(pid, started(pid) if living else 7)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    make = {
        "file": lambda: path.write_text("x"),
        "folder": path.mkdir,
        "link": lambda: path.symlink_to(precious),
        "fifo": lambda: os.mkfifo(path),
    }
    make[kind]()
    began = time.monotonic()
    rows = {row["pid"]: row["state"] for row in service.processes()}
    assert time.monotonic() - began < 10
    assert rows.pop(service.pid) == "serving"
    assert rows == ({pid: "not answering"} if living else {})
    answers = service.ask("/told/whoami?process=all")
    assert answers.status == (207 if living else 200)
    assert precious.read_text() == "precious"
    assert service.host.stderr == ""


def test_names_that_are_no_process_s_are_left_alone(told):
    service = told()
    kept = ["README", "1-2-3.sock", "a-1-2-0123abcd.sock", "-1-1-1-0123abcd.sock", ".x.sock"]
    for name in kept:
        (service.meeting_place / name).touch()
    assert service.pids() == {service.pid}
    assert {*kept, "door"} < set(os.listdir(service.meeting_place))


def test_the_meeting_place_is_deleted(told):
    service = told()
    (child,) = service.fork(1)
    shutil.rmtree(service.host.output / "run")
    for _ in range(5):
        assert service.who() == service.pid
        time.sleep(0.4)
    assert [row["state"] for row in service.processes()] == ["not answering"]
    answer = service.ask("/told/whoami?process=all")
    assert (answer.status, [row["pid"] for row in answer.json["processes"]]) == (207, [service.pid])
    assert service.ask(f"/told/whoami?process={child}").status == 404
    service.do("forked(idle)")
    said = "this process cannot take over the listener of its service: cannot listen on"
    service.wait_for("it says so", lambda: said in service.host.stderr)
    assert "Traceback" not in service.host.stderr
    assert service.who() == service.pid
