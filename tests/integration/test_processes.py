"""One door for many processes: who has it, who takes it over, and what is asked through it."""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOLD = runpy.run_path(str(Path(__file__).with_name("told_host.py")))
Prober, held, measured = TOLD["Prober"], TOLD["held"], TOLD["measured"]
cpu_seconds, resident_kib = TOLD["cpu_seconds"], TOLD["resident_kib"]


@pytest.fixture
def told(launcher, environment, wait_for):
    """Start a host that does what the test tells it."""
    return TOLD["Starter"](launcher, environment, wait_for)


def with_a_child_at_the_door(told, **settings):
    """Return a service whose door is a child of three, and that child."""
    service = told(**settings)
    service.fork(3)
    stopped(service, service.pid, 4.0)
    os.kill(service.pid, signal.SIGCONT)
    door = service.wait_for("one door", lambda: only_door(service))
    assert door != service.pid
    return service, door


def only_door(service):
    doors = [row["pid"] for row in service.processes() if row["role"] == "door"]
    return doors[0] if len(doors) == 1 else None


def stopped(service, pid, seconds):
    """Stop a process for so long while clients come; return what they saw."""
    with Prober(service) as prober:
        time.sleep(0.3)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
    return prober


# --- the holder of the door goes -----------------------------------------------------------------


def test_the_door_s_holder_is_killed(told):
    service, door = with_a_child_at_the_door(told)
    for _ in range(2):
        with Prober(service) as prober:
            time.sleep(0.3)
            os.kill(door, signal.SIGKILL)
            time.sleep(3)
        measured(f"killed: gap {prober.gap:.2f} s, broken {prober.broken}")
        assert prober.refused == 0
        assert prober.broken <= 3 * (1 + prober.gap)  # each gives up after a second
        assert prober.pids >= {door, service.door()}
        door = service.wait_for("one door", lambda: only_door(service))


def test_the_door_s_holder_ends_by_a_signal_it_heeds(told):
    service, door = with_a_child_at_the_door(told)
    with Prober(service) as prober:
        time.sleep(0.3)
        os.kill(door, signal.SIGTERM)
        time.sleep(2)
    measured(f"SIGTERM: gap {prober.gap:.2f} s, broken {prober.broken}")
    assert prober.refused == 0
    assert prober.pids - {door}
    assert door not in service.pids()


def test_the_door_s_holder_stops_and_goes_on(told):
    service = told()
    service.fork(2)
    prober = stopped(service, service.pid, 5.0)
    measured(f"SIGSTOP: gap {prober.gap:.2f} s, broken {prober.broken}")
    assert prober.refused == 0
    assert prober.pids - {service.pid}
    rows = {row["pid"]: row for row in service.processes()}
    assert (rows[service.pid]["role"], rows[service.pid]["state"]) == ("member", "stopped")
    os.kill(service.pid, signal.SIGCONT)
    other = service.wait_for("the old one gives up", lambda: only_door(service))
    assert other != service.pid
    with Prober(service) as prober:
        time.sleep(1)
    assert (prober.pids, prober.refused, prober.broken) == ({other}, 0, 0)
    assert service.who(f"?process={service.pid}") == service.pid


BUSY = {
    "in C with Python's lock": "ctypes.PyDLL(None).usleep(3_500_000)",
    "in Python": "until = time.monotonic() + 3.5\nwhile time.monotonic() < until: pass",
    "in a deadlock": "threading.Thread(target=idle)\nlock = threading.Lock(); lock.acquire(); "
    "lock.acquire(timeout=3.5)",
    "in its event loop": "import asyncio\nasync def block(): time.sleep(3.5)\nasyncio.run(block())",
}


@pytest.mark.parametrize("kind", sorted(BUSY))
def test_the_host_is_busy(told, kind):
    service = told()
    service.fork(2)
    with Prober(service) as prober:
        time.sleep(0.3)
        service.begin(BUSY[kind])
        time.sleep(4.5)
    measured(f"{kind}: gap {prober.gap:.2f} s, broken {prober.broken}, {len(prober.pids)} doors")
    assert prober.refused == 0
    if kind == "in C with Python's lock":
        assert prober.pids - {service.pid}
    else:
        assert (prober.pids, prober.broken) == ({service.pid}, 0)
    service.wait_for("one door", lambda: only_door(service))
    assert service.host.stderr == ""


def test_no_descriptor_is_free(told):
    service = told()
    children = service.fork(2)
    service.ask("/told/whoami?process=all")
    service.do(
        "limit = len(os.listdir('/proc/self/fd')) + 2\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (limit, 4096))\n"
        "taken = all_descriptors()"
    )
    with Prober(service) as prober:
        time.sleep(5)
    measured(f"no descriptor: gap {prober.gap:.2f} s, broken {prober.broken}")
    assert prober.refused == 0
    assert prober.pids & set(children)
    assert cpu_seconds(service.pid) < 0.5
    service.do("for one in taken: os.close(one)")
    service.wait_for("all answer", lambda: len(serving(service)) == 3)
    service.wait_for("one door", lambda: only_door(service))
    assert service.do("answer = 1 + 1") == 2


def test_a_process_that_is_no_door_has_no_descriptor_free(told, tmp_path):
    service = told()
    flag = tmp_path / "flag"
    (child,) = service.fork(1, f"lambda: without_descriptors({str(flag)!r})")
    flag.touch()
    service.wait_for("it is out of them", lambda: state_of(service, child) == "not answering")
    began = time.monotonic()
    assert state_of(service, service.pid) == "serving"
    assert time.monotonic() - began < 10
    assert cpu_seconds(child) < 0.3
    flag.unlink()
    service.joined([child])
    assert service.who(f"?process={child}") == child
    assert service.host.stderr == ""


def state_of(service, pid):
    return next((row["state"] for row in service.processes() if row["pid"] == pid), None)


def test_the_disk_is_full(told, tmpfs):
    service = told(output_directory=str(tmpfs / "diagnostics"))
    (child,) = service.fork(1)
    fill(tmpfs / "filler")
    service.fork(1)
    stopped(service, service.pid, 4.0)
    os.kill(service.pid, signal.SIGCONT)
    door = service.wait_for("one door", lambda: only_door(service))
    assert door != service.pid
    assert service.who(f"?process={child}") == child
    assert service.do("answer = 1 + 1") == 2
    assert service.host.stderr == ""
    service.host.stop()


def fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


# --- many ----------------------------------------------------------------------------------------


@pytest.mark.torture
@pytest.mark.timeout(300)
def test_two_hundred_processes(told):
    service = told()
    began = time.monotonic()
    children = service.do("answer = forked(idle, 200)")
    service.wait_for("all have joined", lambda: len(service.sockets()) == 201, 120)
    service.joined(children)
    joined = time.monotonic() - began
    times = {"/processes": [], "/told/whoami?process=all": [], "/memory/status?process=all": []}
    for path, found in times.items():
        for _ in range(3):
            began = time.monotonic()
            answer = service.ask(path)
            found.append(time.monotonic() - began)
            assert answer.status == 200
            rows = answer.json if path == "/processes" else answer.json["processes"]
            assert len(rows) == 201
    used = [resident_kib(child)["Private_Dirty"] for child in children[:5]]
    threads = {held(child)[1] for child in children}
    measured(
        f"200 joined after {joined:.1f} s, private memory {used} KiB, threads {sorted(threads)}"
    )
    measured(str({path: f"{min(found):.2f} s" for path, found in times.items()}))
    assert max(threads) <= 16
    assert min(map(min, times.values())) < 5
    assert service.who(f"?process={children[-1]}") == children[-1]


def test_a_member_that_nobody_asks_costs_a_thread(told):
    service = told()
    (plain,) = service.do("answer = forked(lambda: idle())")
    service.wait_for("it has joined", lambda: len(service.sockets()) == 2)
    time.sleep(0.5)
    measured(f"an idle member: {held(plain)}, {resident_kib(plain)['Private_Dirty']} KiB")
    assert held(plain)[1] <= 4
    assert cpu_seconds(plain, 3.0) < 0.05


# --- several services ----------------------------------------------------------------------------


def test_services_with_one_output_directory_do_not_meet(told, tmp_path):
    shared = str(tmp_path / "shared")
    one, two = told(output_directory=shared), told(output_directory=shared)
    port = two.host.port
    assert (one.pids(), two.pids()) == ({one.pid}, {two.pid})
    two.host.stop()
    other = told(output_directory=shared, service_name="other", listen=f"127.0.0.1:{port}")
    assert (one.pids(), other.pids()) == ({one.pid}, {other.pid})


def test_another_service_s_port_is_a_start_error(told, launcher, tmp_path):
    shared = str(tmp_path / "shared")
    one = told(output_directory=shared)
    done = launcher.run(
        ["python", "-c", "print('ran')"],
        output_directory=shared,
        service_name="other",
        listen=f"127.0.0.1:{one.host.port}",
    )
    assert (done.stdout, done.returncode) != ("ran\n", 0)
    assert "in use" in done.stderr


def same(service):
    return {
        "output_directory": str(service.host.output),
        "listen": f"127.0.0.1:{service.host.port}",
    }


def test_a_rolling_restart(told):
    old = told()
    with Prober(old) as prober:
        time.sleep(0.3)
        new = told(**same(old))
        new.wait_for("both", lambda: new.pids() == {old.pid, new.pid})
        old.host.stop()
        time.sleep(2)
    measured(f"rolling restart: gap {prober.gap:.2f} s, broken {prober.broken}")
    assert prober.refused == 0
    assert prober.pids == {old.pid, new.pid}
    assert new.pids() == {new.pid}
    assert new.host.stderr == old.host.stderr == ""


def test_the_file_of_a_unix_listener_goes_with_the_last_process(launcher, tmp_path, wait_for):
    path, output = tmp_path / "door", tmp_path / "output"
    config = launcher.config(listen=f"unix:{path}", output_directory=str(output))
    words = [
        sys.executable,
        "-m",
        "endoscope",
        "run",
        "--config",
        str(config),
        "--",
        sys.executable,
    ]
    words += ["-c", "import sys; sys.stdin.read(1)"]
    with contextlib.ExitStack() as ending:
        hosts = []
        for count in (1, 2):
            host = ending.enter_context(subprocess.Popen(words, stdin=subprocess.PIPE))
            ending.callback(host.kill)
            hosts.append(host)
            wait_for(
                "its socket", lambda count=count: len(list(output.glob("run/*/*.sock"))) == count
            )
            wait_for("the listener", path.exists)
        time.sleep(1)
        identity = path.stat().st_ino
        for host in hosts:
            assert path.stat().st_ino == identity
            assert answers_on(path)
            host.communicate(b"!", 20)
            assert host.returncode == 0
        assert not path.exists()


def answers_on(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(b"GET /diagnostics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client.recv(100).startswith(b"HTTP/1.1 401")


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def with_tls(told, tmp_path):
    """Start a host whose listener speaks TLS; return it, and what trusts it."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    service = told(answering=False, tls={"certificate": str(certificate), "key": str(key)})
    told.wait_for("it answers", lambda: answers(service, context))
    return service, context


def test_a_child_keeps_the_host_s_files(with_tls, tmp_path):
    """Though connections that are closed, and not yet collected, had had their numbers."""
    service, context = with_tls
    for _ in range(5):
        service.who(tls=context)
    time.sleep(0.5)
    service.do(f"opened = [open(f'{tmp_path}/{{n}}', 'wb', buffering=0) for n in range(30)]")
    write = "lambda: [file.write(b'%d' % number) for number, file in enumerate(opened)]"
    assert service.do(f"answer = ended(forked({write}))") == [0]
    assert [(tmp_path / str(n)).read_text() for n in range(30)] == [str(n) for n in range(30)]


def test_takeover_with_tls(with_tls, wait_for):
    service, context = with_tls
    children = service.do("answer = forked(idle, 2)")
    wait_for("they have joined", lambda: len(service.sockets()) == 3)
    time.sleep(1)
    with Prober(service, context) as prober:
        time.sleep(0.5)
        os.kill(service.pid, signal.SIGSTOP)
        time.sleep(4)
    os.kill(service.pid, signal.SIGCONT)
    measured(f"TLS, SIGSTOP: gap {prober.gap:.2f} s, broken {prober.broken}")
    assert prober.refused == 0
    assert prober.pids & set(children)
    # Who connects to the old one while it gives the door up may have to connect again.
    wait_for("one door", lambda: answers(service, context) in children)
    for pid in (service.pid, *children):
        assert service.who(f"?process={pid}", tls=context) == pid


def answers(service, context):
    try:
        return service.who(tls=context)
    except OSError:
        return None


# --- what the tests look at ----------------------------------------------------------------------


def serving(service):
    return [row["pid"] for row in service.processes() if row["state"] == "serving"]
