"""A real server with its workers, with diagnostics inside or without; and load for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
WORKERS = 4
_WRK_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_WRK_OTHERS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_WRK_REQUESTS = re.compile(r"(\d+) requests in ")

_GUNICORN = f"gunicorn --no-control-socket -w {WORKERS} -b 127.0.0.1:{{port}}"
SERVERS = {
    "gunicorn sync": f"{_GUNICORN} shop_wsgi:app",
    "gunicorn sync preload": f"{_GUNICORN} --preload shop_wsgi:app",
    "gunicorn gthread": f"{_GUNICORN} -k gthread --threads 2 shop_wsgi:app",
    "gunicorn gthread preload": f"{_GUNICORN} -k gthread --threads 2 --preload shop_wsgi:app",
    "gunicorn gevent": f"{_GUNICORN} -k gevent shop_wsgi:app",
    "gunicorn gevent preload": f"{_GUNICORN} -k gevent --preload shop_wsgi:app",
    "gunicorn asgi": f"{_GUNICORN} -k asgi shop_asgi:app",
    "gunicorn uvicorn": f"{_GUNICORN} -k uvicorn.workers.UvicornWorker shop_asgi:app",
    "uvicorn": f"uvicorn --workers {WORKERS} --port {{port}} --no-access-log shop_asgi:app",
    "hypercorn": f"hypercorn --workers {WORKERS} -b 127.0.0.1:{{port}} shop_asgi:app",
    "granian asgi": f"granian --workers {WORKERS} --interface asgi --port {{port}} shop_asgi:app",
    "granian wsgi": f"granian --workers {WORKERS} --interface wsgi --port {{port}} shop_wsgi:app",
    "celery": f"celery -A shop_celery worker --concurrency {WORKERS}",
}


@dataclass(frozen=True)
class Load:
    """What `wrk` says of its requests. `broken`: connections that ended in the middle."""

    answered: int
    broken: int
    refused: int
    late: int
    wrong: int

    @property
    def failed(self) -> int:
        return self.broken + self.refused + self.late + self.wrong


@dataclass(frozen=True)
class Service:
    """A server that runs; `host` is how its diagnostics are asked, `port` its own."""

    host: Any
    port: int
    wait_for: Callable[..., Any]

    def get(self, path: str) -> Any:
        """Ask the service itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200
            return json.loads(response.read())

    def answers(self) -> bool:
        assert self.host.process.poll() is None, self.host.stderr
        with contextlib.suppress(OSError, http.client.HTTPException):
            return bool(self.get("/")["pid"])
        return False

    def processes(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.host.get("/processes")
        return rows

    def workers(self) -> list[int]:
        """Return the ids of the workers that the kernel knows."""
        return children_of(self.host.pid)

    def gathered(self, *, but: frozenset[int] = frozenset()) -> list[dict[str, Any]]:
        """Wait until the master and all its workers answer, and one of these has the door.

        `but`: processes that are to have gone.
        """

        def look() -> list[dict[str, Any]] | None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                rows = self.processes()
                pids = {row["pid"] for row in rows}
                whole = pids == {self.host.pid, *self.workers()} and len(pids) == WORKERS + 1
                at_work = all(row["state"] == "serving" for row in rows)
                if whole and at_work and not pids & but and rows[0]["pid"] != self.host.pid:
                    return rows
            return None

        rows: list[dict[str, Any]] = self.wait_for("all workers have joined", look)
        return rows

    def asked_of_all(self, method: str, path: str) -> dict[int, Any]:
        """Return what each process has answered, by its id; all must have."""
        answer = self.host.ask(method, f"{path}?process=all")
        assert answer.status == 200, answer.body
        return {row["pid"]: row["answer"] for row in answer.json["processes"]}

    def archive(self, folder: Path) -> tuple[Path, set[str], dict[str, Any]]:
        """Download an archive of all processes: its file, its members' names, its manifest."""
        answer = self.host.ask("GET", "/export?process=all")
        assert answer.status == 200, answer.body
        path = folder / "archive.tar.gz"
        path.write_bytes(answer.body)
        with tarfile.open(fileobj=BytesIO(answer.body)) as archive:
            names = archive.getnames()
            manifest = next(name for name in names if name.endswith("manifest.json"))
            return path, set(names), json.load(archive.extractfile(manifest))  # type: ignore[arg-type]

    @contextlib.contextmanager
    def load(self, seconds: int, connections: int = 2 * WORKERS) -> Iterator[list[Load]]:
        """Ask the service all the time meanwhile; the list has the `Load` afterwards."""
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
        words.append(f"http://127.0.0.1:{self.port}/")
        found: list[Load] = []
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as wrk:
            try:
                yield found
                found.append(_load(wrk.communicate(timeout=seconds + 30)[0]))
            finally:
                wrk.kill()


def children_of(pid: int) -> list[int]:
    """Return the Python processes that a process has started, but not what only helps them."""
    command = ["ps", "-ww", "-o", "pid=,stat=,args=", "--ppid", str(pid)]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    found = [line.split(maxsplit=2) for line in lines]
    return [
        int(p) for p, state, words in found if "resource_tracker" not in words and "Z" not in state
    ]


def _load(text: str) -> Load:
    errors, others = _WRK_ERRORS.search(text), _WRK_OTHERS.search(text)
    requests = _WRK_REQUESTS.search(text)
    assert requests, text
    connect, read, write, timeout = (int(n) for n in errors.groups()) if errors else (0, 0, 0, 0)
    wrong = int(others[1]) if others else 0
    return Load(int(requests[1]) - wrong, read + write, connect, timeout, wrong)


def start(launcher: Any, wait_for: Any, name: str, *options: str, how: str = "run") -> Service:
    """Start one of `SERVERS`; returns once it answers.

    `how`: under endoscope `run`, with `start()` in its `code`, or `plain`ly without either.
    """
    port = free_port()
    program, *words = SERVERS[name].format(port=port).split()
    wrappers = {"run": None, "code": ["env", "IN_CODE=1"], "plain": []}
    host = launcher.start(
        [program, *words, *options], wrapper=wrappers[how], answering=how == "run", cwd=FOLDER
    )
    service = Service(host, port, wait_for)
    if program != "celery":
        wait_for("the service answers", service.answers)
    if how == "code":
        wait_for("diagnostics answer", host.answers)
    return service


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
