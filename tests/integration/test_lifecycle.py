"""Life inside somebody else's process: threads, forks, spawned workers, exit."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time

import pytest

LAUNCH = ("LD_PRELOAD", "MALLOC_CONF", "PYTHONMALLOC")
UNTIL_TOLD = "import sys; sys.stdin.read(1)"


def tell(host) -> float:
    """Let a program that reads its standard input go on; return when that was."""
    host.process.stdin.write(b"!")
    host.process.stdin.flush()
    return time.monotonic()


def output(host):
    return [json.loads(line) for line in host.stdout.splitlines()]


# --- exit --------------------------------------------------------------------------------------


def test_exit_is_not_delayed_when_nobody_is_connected(launcher):
    host = launcher.start(["python", "-c", UNTIL_TOLD], stdin=subprocess.PIPE)
    began = tell(host)
    assert host.wait() == 0
    assert time.monotonic() - began < 1


def test_exit_waits_for_a_stalled_download_no_longer_than_the_grace_period(launcher):
    program = f"{UNTIL_TOLD}; sys.exit(4)"
    host = launcher.start(["python", "-c", program], stdin=subprocess.PIPE, grace_seconds=1)
    big = host.output / "memory" / "router_heap_dump_1.prof"
    big.write_bytes(b"x" * 50_000_000)
    client = host.begin_download(f"/memory/dumps/{big.name}")
    began = tell(host)
    assert host.wait() == 4
    assert time.monotonic() - began < 3
    client.close()


def test_atexit_comes_in_the_host_s_order(launcher):
    program = (
        "import atexit; atexit.register(print, 'first'); atexit.register(print, 'last'); "
        "print('main')"
    )
    assert launcher.run(["python", "-c", program]).stdout.split() == ["main", "last", "first"]


def test_no_signal_handler_is_installed(launcher):
    program = (
        "import signal; print([s.name for s in signal.Signals if s not in "
        "(signal.SIGKILL, signal.SIGSTOP) and callable(signal.getsignal(s)) "
        "and s != signal.SIGINT])"
    )
    assert launcher.run(["python", "-c", program]).stdout.strip() == "[]"


# --- fork ----------------------------------------------------------------------------------------

FORKING = """
import json, os, socket, sys
before = len(os.listdir("/proc/self/fd"))
sys.stdin.read(1)
child = os.fork()
if child == 0:
    inherited = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                 if os.path.lexists(f"/proc/self/fd/{n}")]
    print(json.dumps([name for name in inherited if name.startswith(("socket:", "anon_inode:"))]),
          flush=True)
    os._exit(7)
print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])), flush=True)
sys.stdin.read(1)
"""


def test_a_fork_disturbs_neither_child_nor_parent_nor_a_download(launcher, wait_for):
    host = launcher.start(["python", "-c", FORKING], stdin=subprocess.PIPE)
    big = host.output / "memory" / "router_heap_dump_1.prof"
    big.write_bytes(bytes(range(256)) * 80_000)
    client = host.begin_download(f"/memory/dumps/{big.name}")
    tell(host)
    wait_for("the child's end", lambda: len(host.stdout.splitlines()) == 2)
    sockets, status = output(host)
    assert (sockets, status) == ([], 7)
    assert host.get("/plugins")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # no longer slow
    wanted, received = big.read_bytes(), bytearray()
    while len(received) < len(wanted) or not received.endswith(wanted[-64:]):
        chunk = client.recv(1 << 20)
        assert chunk, "the download broke off"
        received += chunk
    assert received.endswith(wanted)
    client.close()
    tell(host)
    assert host.wait() == 0


CHILD_OF_ITS_OWN = """
import endoscope, json, os, sys
child = os.fork()
if child == 0:
    with endoscope.start(settings={"enabled": True, "listen": "127.0.0.1:0",
            "shared_secret": "child-secret", "output_directory": sys.argv[1]}) as diagnostics:
        print(json.dumps(diagnostics.wait_until_serving(20)), flush=True)
    os._exit(0)
print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])), flush=True)
"""


def test_a_forked_child_may_start_its_own(launcher, tmp_path):
    done = launcher.run(["python", "-c", CHILD_OF_ITS_OWN, str(tmp_path / "child")])
    assert done.stdout.split() == ["true", "0"], done.stderr


MANY_FORKS = """
import os
for _ in range(200):
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
print("done")
"""


def test_many_forks_while_somebody_asks(launcher):
    host = launcher.start(
        ["python", "-W", "error", "-c", f"{UNTIL_TOLD}\n{MANY_FORKS}"], stdin=subprocess.PIPE
    )
    tell(host)
    while host.process.poll() is None:
        try:
            host.ask("GET", "/memory/status")
        except OSError:
            break  # it ended meanwhile
    assert (host.wait(), host.stdout.split(), host.stderr) == (0, ["done"], "")


# --- spawned processes ---------------------------------------------------------------------------

SPAWNING = """
import ctypes, json, multiprocessing, os, subprocess, sys

def look():
    loaded = "libjemalloc" in open("/proc/self/maps").read()
    shown = [name for name in {launch!r} if name in os.environ]
    return loaded, shown, os.environ.get("PYTHONPATH")

def worker(queue):
    queue.put(look())

if __name__ == "__main__":
    found = {{"program": look()}}
    for method in ("spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=worker, args=(queue,))
        process.start()
        found[method] = queue.get(timeout=30)
        process.join()
        found[method] += (process.exitcode,)
    other = "import json; print(json.dumps('libjemalloc' in open('/proc/self/maps').read()))"
    found["python"] = json.loads(subprocess.check_output([sys.executable, "-c", other]))
    found["sh"] = subprocess.check_output(
        ["sh", "-c", "env; cat /proc/self/maps"], text=True)
    found["sh"] = [name for name in ({launch!r} + ("libjemalloc",)) if name in found["sh"]]
    print(json.dumps(found))
"""


def test_workers_are_launched_alike_and_other_programs_left_alone(launcher, needs, tmp_path):
    needs("libjemalloc")
    program = tmp_path / "spawning.py"
    program.write_text(SPAWNING.format(launch=LAUNCH))
    done = launcher.run(["python", str(program)], seconds=90)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["program"] == [True, [], None]
    assert found["spawn"] == [True, [], None, 0]
    assert found["forkserver"] == [True, [], None, 0]
    assert found["python"] is False
    # ENDOSCOPE_RUN, which names them as what workers need, is the only trace.
    assert "libjemalloc" not in found["sh"] or found["sh"].count("libjemalloc") == 1


# --- hosts that take everything -----------------------------------------------------------------

BUSY = "import sys, threading\nthreading.Thread(target=sys.stdin.read, daemon=True).start()\n"
BUSY += "while True: pass\n"

GEVENT = """
from gevent import monkey; monkey.patch_all()
import time
while True:  # never lets the hub run
    pass
"""


@pytest.mark.parametrize("module", [None, "gevent"])
def test_a_busy_main_thread_does_not_keep_diagnostics_from_answering(launcher, needs, module):
    if module:
        needs(f"import {module}")
    host = launcher.start(["python", "-c", GEVENT if module else BUSY])
    for _ in range(3):
        assert host.get("/memory/status")["platform"] == "linux"
    assert host.stderr == ""


GEVENT_SERVER = """
from gevent import monkey; monkey.patch_all()
import gevent, json, os, socket, threading
done = []
def client(n):
    gevent.sleep(0.01); done.append(n)
gevent.joinall([gevent.spawn(client, n) for n in range(50)])
thread = threading.Thread(target=done.append, args=("thread",)); thread.start(); thread.join()
print(json.dumps(len(done)), flush=True)
import sys; sys.stdin.read(1)
"""


def test_a_gevent_host_works_and_ends_as_without(launcher, needs, wait_for):
    needs("import gevent")
    host = launcher.start(["python", "-c", GEVENT_SERVER], stdin=subprocess.PIPE)
    wait_for("output", lambda: host.stdout)
    assert output(host) == [51]
    assert host.get("/plugins")
    tell(host)
    assert (host.wait(), host.stderr) == (0, "")


# --- disabled ------------------------------------------------------------------------------------

NOTHING = """
import json, os, sys, threading
print(json.dumps({
    "threads": threading.active_count(),
    "tasks": len(os.listdir("/proc/self/task")),
    "jemalloc": "libjemalloc" in open("/proc/self/maps").read(),
    "modules": sorted(name for name in sys.modules if "endoscope" in name),
    "variables": sorted(name for name in os.environ
                        if name.startswith(("ENDOSCOPE", "LD_", "MALLOC_", "PYTHONMALLOC"))),
}))
"""


def test_nothing_is_there_when_disabled(launcher):
    done = launcher.run([sys.executable, "-c", NOTHING], enabled=False)
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "threads": 1,
        "tasks": 1,
        "jemalloc": False,
        "modules": [],
        "variables": [],
    }


IDLE = "import time; time.sleep(60)"


def test_nothing_polls_while_nobody_asks(launcher):
    host = launcher.start(["python", "-c", IDLE])
    time.sleep(1.5)  # the thread's own start

    def switches() -> int:
        total = 0
        for task in (f"/proc/{host.pid}/task/{t}/status" for t in _tasks(host.pid)):
            with open(task) as file:
                total += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
        return total

    before = switches()
    time.sleep(3)
    assert switches() - before <= 2


def _tasks(pid: int) -> list[str]:
    import os

    return os.listdir(f"/proc/{pid}/task")
