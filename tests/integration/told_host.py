"""A host that does what a test tells it, and what the tests ask of its processes."""

import base64
import contextlib
import http.client
import itertools
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

PROGRAM = Path(__file__).with_name("told_program.py")
SITE = Path(__file__).with_name("told_site")


@dataclass
class Told:
    """A running host. `do` has it execute a few lines, and returns their `answer`."""

    host: Any
    wait_for: Any
    lines: int = 0

    @property
    def pid(self) -> int:
        return self.host.pid

    def do(self, code: str) -> Any:
        self.host.process.stdin.write(json.dumps(code).encode() + b"\n")
        self.host.process.stdin.flush()
        self.lines += 1
        self.wait_for(code, lambda: self._has_answered(code))
        return json.loads(self.host.stdout.splitlines()[self.lines - 1])

    def _has_answered(self, code: str) -> bool:
        assert self.host.process.poll() is None, f"{code}\n{self.host.stderr}"
        return self.host.stdout.count("\n") >= self.lines

    def begin(self, code: str) -> None:
        """Have the host do something that it does not come back from soon."""
        self.host.process.stdin.write(json.dumps(code).encode() + b"\n")
        self.host.process.stdin.flush()
        self.lines += 1

    def ask(self, path: str, method: str = "GET") -> Any:
        return self.host.ask(method, path)

    def processes(self) -> list[dict[str, Any]]:
        return self.host.get("/processes")

    def pids(self) -> set[int]:
        return {row["pid"] for row in self.processes()}

    def who(self, query: str = "", seconds: float = 30.0, tls: Any = None) -> int:
        """Return which process answers, on a new connection. Raises `OSError`."""
        port, path = self.host.port, f"/diagnostics/told/whoami{query}"
        if tls is None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
        else:
            connection = http.client.HTTPSConnection(
                "localhost", port, timeout=seconds, context=tls
            )
        secret = base64.b64encode(self.host.secret.encode()).decode()
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": f"Bearer {secret}"})
            return int(json.load(connection.getresponse())["pid"])

    def door(self) -> int | None:
        """Return who says of itself that it serves the listener."""
        return next((row["pid"] for row in self.processes() if row["role"] == "door"), None)

    def joined(self, pids: list[int]) -> None:
        """Wait until these processes are among those of the service, and serve."""

        def there() -> bool:
            rows = {row["pid"]: row["state"] for row in self.processes()}
            return all(rows.get(pid) == "serving" for pid in pids)

        self.wait_for(f"{pids} have joined", there)

    def fork(self, count: int, live: str = "idle") -> list[int]:
        children = self.do(f"answer = forked({live}, {count})")
        self.joined(children)
        return children

    @property
    def meeting_place(self) -> Path:
        (folder,) = (self.host.output / "run").iterdir()
        return folder

    def sockets(self) -> set[str]:
        """Return the names in the meeting place that are of processes."""
        return {name for name in os.listdir(self.meeting_place) if name.endswith(".sock")}


@dataclass
class Starter:
    """Starts the program under `endoscope run`, with the plugin that is made for it."""

    launcher: Any
    environment: dict[str, str]
    wait_for: Any

    def __call__(self, *options: str, **how: Any) -> Told:
        environment = {**self.environment, "PYTHONPATH": str(SITE)}
        words = [sys.executable, *options, PROGRAM]
        host = self.launcher.start(words, stdin=subprocess.PIPE, environment=environment, **how)
        return Told(host, self.wait_for)


def measured(figures: str) -> None:
    """Show what was measured, to who runs the tests with `-s`."""
    sys.stdout.write(f"{figures}\n")


def held(pid: int) -> tuple[int, int]:
    """Count the descriptors and threads of a process."""
    return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


def resident_kib(pid: int) -> dict[str, int]:
    """Return what a process has in memory by kind: `Rss`, `Pss`, `Private_Dirty`."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def cpu_seconds(pid: int, seconds: float = 1.0) -> float:
    """Return how much of the processor a process takes in so many seconds."""

    def used() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = used()
    time.sleep(seconds)
    return (used() - before) / os.sysconf("SC_CLK_TCK")


class Prober:
    """Asks who answers, again and again from three threads, each time on a new connection."""

    def __init__(self, told: Told, tls: ssl.SSLContext | None = None) -> None:
        self._told = told
        self._tls = tls
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(3)]
        self.moments: list[float] = []
        self.pids: set[int] = set()
        self.refused = 0
        self.broken = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def gap(self) -> float:
        """Return the longest time that nothing was answered."""
        moments = sorted(self.moments)
        return max((after - before for before, after in itertools.pairwise(moments)), default=0.0)

    def _ask_on(self) -> None:
        while not self._over.wait(0.005):
            try:
                self.pids.add(self._told.who(seconds=1.0, tls=self._tls))
                self.moments.append(time.monotonic())
            except ConnectionRefusedError:
                self.refused += 1
            except (OSError, http.client.HTTPException):
                self.broken += 1
