"""The servers that people run Python services with: four workers each, under load, in trouble."""

from __future__ import annotations

import http.client
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import tarfile
import time
from functools import partial
from pathlib import Path

import pytest

CONNECTIONS = 8
FOLDER = Path(__file__).with_name("servers")
OTHERS = pytest.mark.torture  # what differs little from those that are always tested

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def servers():
    return runpy.run_path(str(FOLDER / "service.py"))


@pytest.fixture
def start(servers, launcher, needs, wait_for):
    """Start a server with four workers: `start("gunicorn sync", "--preload", how="run")`."""

    def begin(name, *options, how="run"):
        needs("ps", *(f"import {word}" for word in name.split() if word in MODULES))
        return servers["start"](launcher, wait_for, name, *options, how=how)

    return begin


MODULES = ("gunicorn", "gevent", "uvicorn", "hypercorn", "granian", "celery")


def names(always, *others):
    """Return parameters for a test: servers that are tested always, and those with `torture`."""
    return [*always, *(pytest.param(name, marks=OTHERS) for name in others)]


# --- who is there ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    names(
        [
            "gunicorn sync",
            "gunicorn gevent",
            "gunicorn uvicorn",
            "uvicorn",
            "hypercorn",
            "granian asgi",
            "celery",
        ],
        "gunicorn sync preload",
        "gunicorn gthread",
        "gunicorn gthread preload",
        "gunicorn gevent preload",
        "gunicorn asgi",
        "granian wsgi",
    ),
)
def test_all_workers_are_there_and_one_of_them_has_the_door(start, name):
    service = start(name)
    rows = service.gathered()
    assert [row["role"] for row in rows] == ["door", *["member"] * 4]
    parents = {row["pid"]: row["parent"] for row in rows}
    assert {parents[pid] for pid in parents if pid != service.host.pid} == {service.host.pid}
    assert parents[service.host.pid] == os.getpid()
    assert {row["profiling"] for row in rows} == {"inactive"}
    assert set(service.asked_of_all("POST", "/memory/start")) == set(parents)
    assert {row["profiling"] for row in service.processes()} == {"active"}
    service.host.process.terminate()
    assert service.host.wait() == 0
    assert list((service.host.output / "run").glob("*/*.sock")) == []
    assert "Traceback" not in service.host.stderr


@pytest.mark.parametrize(
    ("name", "members"), [("gunicorn sync", 4), ("gunicorn sync preload", 5), ("uvicorn", 4)]
)
def test_diagnostics_that_the_code_starts_are_in_each_process_that_runs_it(
    start, wait_for, name, members
):
    service = start(name, how="code")
    wait_for("all have joined", lambda: len(service.processes()) == members)
    door, *_ = rows = wait_for("a worker has the door", partial(with_a_worker_as_door, service))
    assert {row["pid"] for row in rows} - {service.host.pid} == set(service.workers())
    assert door["role"] == "door"


def with_a_worker_as_door(service):
    rows = service.processes()
    return rows if rows[0]["pid"] != service.host.pid else None


@pytest.mark.parametrize("name", names(["gunicorn sync"], "uvicorn", "granian asgi"))
def test_what_workers_start_has_nothing_of_it(start, needs, name):
    needs("libjemalloc")
    service = start(name)
    before = {row["pid"] for row in service.gathered()}
    assert service.get("/children") == {"program": "[]", "python": "[]", "modules": "[]"}
    assert {row["pid"] for row in service.processes()} == before


# --- in trouble, under load --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    names(
        ["gunicorn gthread", "uvicorn"],
        "gunicorn sync",
        "gunicorn gevent",
        "gunicorn asgi",
        "gunicorn uvicorn",
        "granian asgi",
        "granian wsgi",
    ),
)
def test_the_process_with_the_door_is_killed_under_load(start, needs, verified, name):
    """What was under way in the process that is killed is lost, as ever, and nothing else."""
    needs("wrk")
    service = start(name, *RESPAWN.get(name, ()))
    killed = service.gathered()[0]["pid"]
    with service.load(5) as load:
        service.asked_of_all("POST", "/memory/start")
        first = dumps_of(service)
        os.kill(killed, signal.SIGKILL)
        rows = service.gathered(but=frozenset({killed}))
        second = dumps_of(service)
        assert {row["profiling"] for row in rows} == {"active"}
        assert set(second) == {row["pid"] for row in rows}
    assert kept(service) >= {*first.values(), *second.values()}
    verified(service)
    assert load[0].broken <= CONNECTIONS
    assert load[0].failed == load[0].broken
    assert load[0].answered > 100


@OTHERS
@pytest.mark.parametrize("name", ["gunicorn sync", "gunicorn gthread", "gunicorn uvicorn"])
def test_no_more_requests_fail_than_without(start, needs, wait_for, name):
    """Five workers are killed in turn; what a killed one had open varies by all connections."""
    needs("wrk")
    failed = {}
    for how in ("plain", "run"):
        service = start(name, how=how)
        with service.load(10) as load:
            for _ in range(5):
                workers = wait_for(
                    "all work", lambda s=service: len(s.workers()) == 4 and s.workers()
                )
                door = service.gathered()[0]["pid"] if how == "run" else workers[0]
                os.kill(door, signal.SIGKILL)
                time.sleep(0.5)
        assert load[0].failed == load[0].broken
        failed[how] = load[0].broken
        service.host.stop()
    assert failed["run"] <= failed["plain"] + CONNECTIONS


@OTHERS
def test_diagnostics_answer_every_request_while_workers_are_recycled(start, needs):
    needs("wrk")
    service = start("gunicorn gthread", "--max-requests", "1500")
    service.gathered()
    doors = set()
    with service.load(20):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            doors.add(service.host.get("")["pid"])
    assert len(doors) > 2


# granian ends when a worker does, unless told otherwise.
RESPAWN = dict.fromkeys(("granian asgi", "granian wsgi"), ("--respawn-failed-workers",))


def dumps_of(service):
    """Dump in every process; return the names of the dumps by process."""
    answers = service.asked_of_all("POST", "/memory/dump")
    return {pid: Path(answer["dump_path"]).name for pid, answer in answers.items()}


def kept(service):
    return {row["name"] for row in service.host.get("/memory/dumps")}


@pytest.fixture
def verified(run, tmp_path):
    """Download an archive of all processes, and check that it is whole and right about them."""

    def check(service):
        path, members, manifest = service.archive(tmp_path)
        pids = {row["pid"] for row in service.processes()}
        assert {row["pid"] for row in manifest["processes"]} == pids
        for pid in pids:
            assert any(f"processes/{pid}/memory/" in name for name in members)
        assert kept(service) <= {Path(name).name for name in members}
        found = run([sys.executable, "-m", "endoscope", "verify", str(path)])
        assert found.returncode == 0, found.stdout

    return check


def test_a_worker_is_killed_in_the_middle_of_an_archive(start, run, tmp_path):
    service = start("gunicorn gthread")
    rows = service.gathered()
    killed = max(row["pid"] for row in rows[1:] if row["pid"] != service.host.pid)
    service.asked_of_all("POST", "/memory/start")
    dumps = dumps_of(service)
    with service.host.begin_download("/export?process=all") as client:
        os.kill(killed, signal.SIGKILL)
        answer = http.client.HTTPResponse(Rest(client))
        answer.begin()
        (tmp_path / "archive.tar.gz").write_bytes(answer.read())
    found = run([sys.executable, "-m", "endoscope", "verify", tmp_path / "archive.tar.gz"])
    assert found.returncode == 0, found.stdout
    with tarfile.open(tmp_path / "archive.tar.gz") as archive:
        names = {Path(name).name for name in archive.getnames()}
        manifest = json.load(archive.extractfile("manifest.json"))
    assert names >= set(dumps.values())
    lost = {row["process"] for row in manifest["failures"] if row["process"] is not None}
    assert lost == {killed}


class Rest:
    """A response whose first bytes have been read."""

    def __init__(self, client):
        self._client = client

    def makefile(self, mode):
        return io.BufferedReader(Replayed(b"HTTP/1.1 200", self._client.makefile(mode)))


class Replayed(io.RawIOBase):
    """A file with something put before it."""

    def __init__(self, before, file):
        super().__init__()
        self._before, self._file = before, file

    def readable(self):
        return True

    def readinto(self, room):
        if self._before:
            count = min(len(room), len(self._before))
            room[:count], self._before = self._before[:count], self._before[count:]
            return count
        return self._file.readinto1(room)


RECYCLING = {
    "gunicorn sync": ("--max-requests", "300", "--max-requests-jitter", "100"),
    "gunicorn gthread": ("--max-requests", "1000", "--max-requests-jitter", "100"),
    "gunicorn gevent": ("--max-requests", "1000", "--max-requests-jitter", "100"),
    "gunicorn asgi": ("--max-requests", "1000", "--max-requests-jitter", "100"),
    "gunicorn uvicorn": ("--max-requests", "1000", "--max-requests-jitter", "100"),
    "uvicorn": ("--limit-max-requests", "100"),
}


@pytest.mark.parametrize("name", names(["gunicorn sync"], *list(RECYCLING)[1:]))
def test_workers_are_recycled_under_load(start, needs, verified, name):
    """New workers profile as the old ones did, and no request fails that did not without."""
    needs("wrk")
    service = start(name, *RECYCLING[name])
    first = {row["pid"] for row in service.gathered()}
    assert set(service.asked_of_all("POST", "/memory/start")) == first
    with service.load(4) as load:
        time.sleep(2)
        dumps = dumped_by_who_lives(service)
        assert service.host.pid in dumps
    rows = service.gathered(but=frozenset(first - {service.host.pid}))
    assert {row["profiling"] for row in rows} == {"active"}
    assert kept(service) >= set(dumps.values())
    verified(service)
    assert load[0].answered > 100
    assert load[0].broken == 0 or name in BREAKS_CONNECTIONS
    assert load[0].failed == load[0].broken


# Their workers close connections without a word when their time has come.
BREAKS_CONNECTIONS = {"uvicorn", "gunicorn uvicorn", "gunicorn asgi"}


def dumped_by_who_lives(service):
    """Dump in every process, of which some may end meanwhile."""
    answer = service.host.ask("POST", "/memory/dump?process=all")
    rows = answer.json["processes"]
    assert {row["status"] for row in rows} <= {200, 404}
    made = {row["pid"]: row["answer"] for row in rows if row["status"] == 200}
    return {pid: Path(answer["dump_path"]).name for pid, answer in made.items()}


@pytest.mark.parametrize("name", names(["gunicorn gthread"], "gunicorn gthread preload"))
def test_a_reload_replaces_the_workers(start, needs, name):
    needs("wrk")
    service = start(name)
    first = {row["pid"] for row in service.gathered()} - {service.host.pid}
    service.asked_of_all("POST", "/memory/start")
    with service.load(4) as load:
        service.host.process.send_signal(signal.SIGHUP)
        rows = service.gathered(but=frozenset(first))
        assert {row["profiling"] for row in rows} == {"active"}
    assert load[0].failed == 0


def test_an_upgrade_replaces_the_master(start, wait_for):
    """SIGUSR2: a new gunicorn beside the old one, which ends; the port is served all the time."""
    service = start("gunicorn sync")
    first = {row["pid"] for row in service.gathered()}
    service.asked_of_all("POST", "/memory/start")
    service.host.process.send_signal(signal.SIGUSR2)
    rows = wait_for("both are there", lambda: processes_if(service, 2 * len(first)))
    (upgraded,) = {row["pid"] for row in rows if row["parent"] == service.host.pid} - first
    try:
        service.host.process.send_signal(signal.SIGTERM)
        wait_for("the old one has ended", lambda: first.isdisjoint(pids_of(service)))
        rows = wait_for("the new one is whole", lambda: processes_if(service, len(first)))
        assert {row["profiling"] for row in rows} == {"active"}
    finally:
        os.kill(upgraded, signal.SIGTERM)
        wait_for("it has ended", lambda: not Path(f"/proc/{upgraded}/cwd").exists())


def processes_if(service, count):
    rows = service.processes()
    return rows if len(rows) == count else None


def pids_of(service):
    return {row["pid"] for row in service.processes()}


def test_celery_s_processes_are_recycled(start, verified):
    # None is killed: with a broker that is a folder, they share a lock that one would take along.
    service = start("celery", "--max-tasks-per-child", "10")
    first = {row["pid"] for row in service.gathered()} - {service.host.pid}
    words = [sys.executable, FOLDER / "orders.py", "100"]
    variables = {**os.environ, "CONFIG": str(service.host.config)}
    service.asked_of_all("POST", "/memory/start")
    with subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, text=True) as orders:
        dumps = dumped_by_who_lives(service)
        answered, failed = json.loads(orders.communicate(timeout=60)[0])
    rows = service.gathered(but=frozenset(first))
    assert {row["profiling"] for row in rows} == {"active"}
    assert kept(service) >= set(dumps.values())
    verified(service)
    assert (answered, failed) == (100, 0)
