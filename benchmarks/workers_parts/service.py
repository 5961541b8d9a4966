"""The host as processes: gunicorn with its workers, started, asked, loaded and stopped."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers_parts.ways import Way

_BENCHMARKS = Path(__file__).parents[1]
_THREADS = 4
_LONGEST_START = 60.0
# Variables of the caller that would make the host differ from an ordinary one.
_LEFT_OUT = ("PYTHONPATH", "PYTHONMALLOC", "LD_PRELOAD", "MALLOC_CONF")


@dataclass(frozen=True)
class Service:
    """A running host: its own port, that of its diagnostics, and how these are asked."""

    process: subprocess.Popen[bytes]
    port: int
    diagnostics: int
    headers: dict[str, str]

    def processes(self) -> list[int]:
        """Return the master and its workers."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [self.process.pid, *map(int, path.read_text().split())]

    def cpu(self) -> float:
        """Return the seconds of CPU that the processes which there are have used."""
        # The clock of another process: CPUCLOCK_SCHED in the kernel's posix-timers.h.
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.processes())

    def proportional_bytes(self) -> int:
        """Return the memory of all processes; what they share counts once."""
        found = 0
        for pid in self.processes():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            found += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        return found

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        """Ask the diagnostics; return the status and the JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.diagnostics, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, f"/diagnostics{path}", headers=self.headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def export(self) -> int:
        """Download an archive of all processes, and return its size."""
        connection = http.client.HTTPConnection("127.0.0.1", self.diagnostics, timeout=600)
        with contextlib.closing(connection):
            connection.request("GET", "/diagnostics/export?process=all", headers=self.headers)
            response = connection.getresponse()
            if response.status != 200:
                sys.exit(f"no archive: {response.read()!r}")
            return sum(map(len, iter(lambda: response.read(1 << 18), b"")))

    @contextlib.contextmanager
    def exporting(self) -> Iterator[list[int]]:
        """Download one archive after the other meanwhile; the list has their sizes."""
        sizes: list[int] = []
        stopping = threading.Event()

        def work() -> None:
            while not stopping.is_set():
                sizes.append(self.export())

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield sizes
        finally:
            stopping.set()
            thread.join()


@contextlib.contextmanager
def running(way: Way, workers: int, folder: Path, python: str) -> Iterator[Service]:
    """Run the host in that way, and yield it once all its workers answer."""
    folder.mkdir()
    own, diagnostics, secret = _free_port(), _free_port(), secrets.token_urlsafe(24)
    gunicorn = ["-m", "gunicorn", "--no-control-socket", "-w", str(workers), "-k", "gthread"]
    gunicorn += ["--threads", str(_THREADS), "-b", f"127.0.0.1:{own}", "workers_parts.shop:app"]
    command = [python, *gunicorn]
    if way.diagnosed:
        config = _config(folder, diagnostics, secret)
        command = [python, "-m", "endoscope", "run", "--config", str(config), "--", *command]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=_BENCHMARKS, env=_environment(way, folder), stdout=log, stderr=log
        )
    credentials = base64.b64encode(secret.encode()).decode()
    headers = {"Authorization": f"Bearer {credentials}"}
    service = Service(process, own, diagnostics, headers)
    try:
        _wait_until_ready(service, way, workers)
        yield service
    finally:
        _stop(process)


def _environment(way: Way, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    return {**kept, **way.variables, "PROFILER_FOLDER": str(folder)}


def _config(folder: Path, port: int, secret: str) -> Path:
    settings = {
        "enabled": True,
        "listen": f"127.0.0.1:{port}",
        "shared_secret": secret,
        "output_directory": str(folder / "output"),
    }
    path = folder / "router.yaml"
    path.write_text(json.dumps({"experimental_diagnostics": settings}))  # which is YAML, too
    return path


def _wait_until_ready(service: Service, way: Way, workers: int) -> None:
    deadline = time.monotonic() + _LONGEST_START
    while not _is_ready(service, way, workers):
        if service.process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the host does not start: {way.title}")
        time.sleep(0.1)
    if way.active and service.ask("POST", "/memory/start?process=all")[0] != 200:
        sys.exit("not all processes profile")


def _is_ready(service: Service, way: Way, workers: int) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        socket.create_connection(("127.0.0.1", service.port), 5).close()
        if not way.diagnosed:
            return len(service.processes()) == workers + 1
        _, rows = service.ask("GET", "/processes")
        return len(rows) == workers + 1 and rows[0]["pid"] != service.process.pid
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
