"""What another process than the one at the door answers: files, streams, errors."""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

TOLD = runpy.run_path(str(Path(__file__).with_name("told_host.py")))
cpu_seconds, held, measured = TOLD["cpu_seconds"], TOLD["held"], TOLD["measured"]


@pytest.fixture
def told(launcher, environment, wait_for):
    """Start a host that does what the test tells it."""
    return TOLD["Starter"](launcher, environment, wait_for)


# --- files and streams of another process --------------------------------------------------------


def test_a_file_of_another_process(told):
    service = told()
    (child,) = service.fork(1)
    whole = service.ask(f"/told/file?process={child}")
    assert (whole.status, len(whole.body)) == (200, 800_000)
    assert whole.body == b"%8d" % child * 100_000
    answer = service.host.curl(f"/told/file?process={child}", "-r", "8-15", "-i")
    assert "206" in answer.stdout.splitlines()[0]
    assert answer.stdout.endswith(f"{child:8d}")


def test_a_file_of_a_process_that_has_ended_meanwhile(told):
    service = told()
    (child,) = service.fork(1)
    client = service.host.begin_download(f"/told/file?process={child}")
    os.kill(child, signal.SIGKILL)
    received = b""
    while chunk := client.recv(65536):
        received += chunk
        if received.endswith(b"%8d" % child) and received.count(b"%8d" % child) == 100_000:
            break
    client.close()
    assert received.count(b"%8d" % child) == 100_000


def test_a_stream_of_another_process(told):
    service = told()
    (child,) = service.fork(1)
    began = time.monotonic()
    answer = service.ask(f"/told/numbered?process={child}")
    assert answer.body == b"%8d" % child * 8192 * 200
    measured(f"13 MB in 200 chunks of another process: {time.monotonic() - began:.2f} s")


def test_clients_that_stall_cost_the_other_process_no_thread_and_free_what_it_held(told):
    service = told()
    (child,) = service.fork(1)
    service.who(f"?process={child}")
    before = held(child)
    clients = [service.host.begin_download(f"/told/endless?process={child}") for _ in range(50)]
    service.wait_for("all are open", lambda: live(service, child) == 50)
    time.sleep(1)
    descriptors, threads = held(child)
    measured(f"50 stalled: {before} before, {(descriptors, threads)} meanwhile")
    assert threads <= before[1] + 8
    assert cpu_seconds(child) < 0.3
    for client in clients:
        client.close()
    service.wait_for("all are closed", lambda: live(service, child) == 0)
    service.wait_for("descriptors", lambda: held(child)[0] <= before[0] + 1)


def live(service, pid):
    return service.host.get(f"/told/whoami?process={pid}")["live"]


def test_a_stream_whose_process_is_killed_breaks_off(told):
    service = told()
    (child,) = service.fork(1)
    client = service.host.begin_download(f"/told/endless?process={child}")
    os.kill(child, signal.SIGKILL)
    client.settimeout(10)
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(1 << 20):
            received = (received + chunk)[-100:]
    client.close()
    assert not received.endswith(b"0\r\n\r\n")
    assert service.pids() == {service.pid}


def test_an_export_of_another_process_for_a_slow_client(told, tmp_path):
    service = told()
    (child,) = service.fork(1)
    done = service.host.curl(
        f"/export?process={child}", "--limit-rate", "200K", "-o", str(tmp_path / "a.tar.gz")
    )
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        ["tar", "-tzf", tmp_path / "a.tar.gz"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert listed[-1].endswith("manifest.json")


# --- what goes wrong -----------------------------------------------------------------------------


def test_who_cannot_be_asked(told):
    service = told()
    (child,) = service.fork(1)
    for wanted, code in {"4000000": "process_not_found", "x": "bad_parameter"}.items():
        answer = service.ask(f"/told/whoami?process={wanted}")
        assert (answer.status in {404, 400}, answer.json["code"]) == (True, code)
    answer = service.ask(f"/told/fail?process={child}")
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert "as it was told" not in str(answer.json)
    answer = service.ask("/told/file?process=all")
    assert answer.status == 207
    assert {row["error"]["code"] for row in answer.json["processes"]} == {"not_collectable"}
    assert service.ask("/told/nowhere?process=all").status == 404


def test_a_process_that_ends_while_it_is_asked(told):
    service = told()
    (child,) = service.fork(1)
    threading.Timer(0.5, os.kill, (child, signal.SIGKILL)).start()
    began = time.monotonic()
    answer = service.ask(f"/told/sleep?seconds=20&process={child}")
    assert time.monotonic() - began < 15
    assert (answer.status, answer.json["code"]) == (404, "process_ended")


# --- what lasts ----------------------------------------------------------------------------------

SPAWN = (
    "multiprocessing.set_start_method('spawn', force=True)\n"
    "worker = multiprocessing.Process(target=time.sleep, args=(60,), daemon=True)\n"
    "worker.start()\nanswer = worker.pid"
)


def test_what_was_asked_of_all_holds_for_those_who_come_later(told):
    service = told()
    (child,) = service.fork(1)
    assert profiling(service) == {service.pid: False, child: False}
    service.host.post("/memory/start?process=all")
    (forked,) = service.fork(1)
    spawned = service.do(SPAWN)
    service.joined([spawned])
    everyone = {service.pid, child, forked, spawned}
    on = dict.fromkeys(everyone, True)
    service.wait_for("all profile", lambda: profiling(service) == on)
    service.host.post("/memory/stop?process=all")
    (late,) = service.fork(1)
    assert profiling(service) == dict.fromkeys(everyone | {late}, False)
    service.do("worker.kill()")


def test_what_was_asked_of_one_does_not_hold_for_others(told):
    service = told()
    (child,) = service.fork(1)
    service.host.post(f"/memory/start?process={child}")
    (late,) = service.fork(1)
    assert profiling(service) == {service.pid: False, child: True, late: False}


def profiling(service):
    rows = service.host.get("/memory/status?process=all")["processes"]
    return {row["pid"]: row["answer"]["profiling_active"] for row in rows}
