"""The host as a process: started, asked, weighed and stopped."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from archive_parts import contributor

_MODULES = Path(__file__).parents[1]
_TICK = os.sysconf("SC_CLK_TCK")
# Variables of the caller that would make the host differ from an ordinary one.
_LEFT_OUT = ("PYTHONPATH", "PYTHONMALLOC", "LD_PRELOAD", "MALLOC_CONF")
_REST_SECONDS = 0.1
_LONGEST_WAIT = 60.0
CLIENTS = 60
"""How many archives it makes at once, at most."""


@dataclass(frozen=True)
class Delays:
    """How late an event loop was, in milliseconds."""

    median: float
    p99: float
    longest: float


class Host:
    """A running host."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, secret: str) -> None:
        self._process = process
        self._kept = folder / "output" / "export"
        ports = json.loads(self._read())
        self.own_port: int = ports["own"]
        self.port: int = ports["diagnostics"]
        credentials = base64.b64encode(secret.encode()).decode()
        self.headers = {"Authorization": f"Bearer {credentials}"}

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def cpu(self) -> float:
        """Return the seconds of CPU that all of its threads and ended children have used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        children = (int(fields[13]) + int(fields[14])) / _TICK
        # The clock of another process, threads that have ended included: CPUCLOCK_SCHED in
        # the kernel's posix-timers.h. In nanoseconds, where /proc/PID/stat has hundredths.
        return time.clock_gettime((~self.pid << 3) | 2) + children

    def status(self, name: str) -> int:
        """Return a number of `/proc/PID/status`, such as `Threads`, or `VmHWM` in kB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise KeyError(name)

    def forget_peak(self) -> None:
        """Have `VmHWM`, the peak of its resident memory, begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def kept_streams(self) -> list[Path]:
        """Return the compressed streams that export has kept for the next archive."""
        return list(self._kept.glob("*.gz"))

    def forget_streams(self) -> None:
        """Delete them, as if there had been no archive yet."""
        for path in self.kept_streams():
            path.unlink()

    def rest(self) -> None:
        """Wait until it has nothing more to do."""
        until = time.monotonic() + _LONGEST_WAIT
        while time.monotonic() < until:
            before = self.cpu()
            time.sleep(_REST_SECONDS)
            if self.cpu() == before:
                return
        sys.exit("the host does not come to rest")

    def watch(self) -> None:
        """Have it look at its event loop."""
        self._say("watch")

    def delays(self) -> Delays:
        """Return what it saw since `watch`."""
        self._say("tell")
        late = sorted(1000 * seconds for seconds in json.loads(self._read()))
        return Delays(late[len(late) // 2], late[int(len(late) * 0.99)], late[-1])

    def _say(self, order: str) -> None:
        assert self._process.stdin is not None  # noqa: S101  for the type checker
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None  # noqa: S101  for the type checker
        line = self._process.stdout.readline()
        if not line:
            sys.exit("the host has ended; what it said is above")
        return line


@contextlib.contextmanager
def running(folder: Path, files: Path) -> Iterator[Host]:
    """Run a host that exports `files`; everything that it writes goes to `folder`."""
    folder.mkdir(exist_ok=True)
    secret = secrets.token_urlsafe(32)
    config = _write_config(folder, secret)
    command = [sys.executable, "-m", "archive_parts.service", str(config)]
    with subprocess.Popen(
        command,
        env=_environment(folder, files),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Host(process, folder, secret)
        finally:
            process.terminate()


def _write_config(folder: Path, secret: str) -> Path:
    section = {
        "enabled": True,
        "listen": "127.0.0.1:0",
        "shared_secret": secret,
        "output_directory": str(folder / "output"),
        "export": {"max_concurrent": CLIENTS},
        "memory": {"profiler": "sampler"},  # there everywhere, and named, so no warning
    }
    config = folder / "config.yaml"
    config.write_text(json.dumps({"experimental_diagnostics": section}), encoding="utf-8")
    return config


def _environment(folder: Path, files: Path) -> dict[str, str]:
    """Return the host's environment, in which the contributor is installed like any plugin."""
    metadata = folder / "site" / "archive_benchmark-1.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: archive-benchmark\nVersion: 1\n"
    )
    entry = f"[endoscope]\nbenchmark = {contributor.__name__}:FilesPlugin\n"
    (metadata / "entry_points.txt").write_text(entry)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _LEFT_OUT and not name.startswith("ENDOSCOPE_")
    }
    paths = f"{metadata.parent}{os.pathsep}{_MODULES}"
    return {**kept, "PYTHONPATH": paths, contributor.FOLDER: str(files)}
