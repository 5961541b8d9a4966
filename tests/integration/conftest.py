"""Real hosts with diagnostics inside them: started, asked, and stopped by their own id."""

from __future__ import annotations

import base64
import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

SECRET = "integration-secret-8f2c"
BIN = Path(sys.executable).parent
ENDOSCOPE = [sys.executable, "-m", "endoscope"]
ENOUGH = 30.0
LAUNCH_VARIABLES = ("LD_PRELOAD", "MALLOC_CONF", "PYTHONMALLOC")


def clean_environment(**changes: str) -> dict[str, str]:
    """Return this environment without what a profiled heap, Endoscope or pytest put there."""
    dropped = ("ENDOSCOPE_", "PYTEST_", "COV_", "PYTHON", *LAUNCH_VARIABLES)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, **changes}


def authorization(secret: str = SECRET) -> dict[str, str]:
    return {"Authorization": "Bearer " + base64.b64encode(secret.encode()).decode()}


def wait_for(what: str, condition: Any, seconds: float = ENOUGH) -> Any:
    """Poll until `condition` returns something true, and return that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    pytest.fail(f"{what}: not within {seconds:g} s")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Finished:
    """A program that has ended. `returncode` is negative for one that a signal has killed."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float


@dataclass
class Host:
    """A running program. `port` is the one of its diagnostics."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int
    config: Path
    secret: str = SECRET
    output: Path = field(default_factory=Path)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request to the diagnostics, `path` relative to /diagnostics."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ENOUGH)
        with contextlib.closing(connection):
            sent = authorization(self.secret) if headers is None else dict(headers)
            connection.request(method, f"/diagnostics{path}", headers=sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    def post(self, path: str) -> Any:
        answer = self.ask("POST", path)
        assert answer.status == 200, answer.body
        return answer.json

    def answers(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"the host has ended ({self.process.returncode}): {self.stderr}")
        try:
            return self.ask("GET", "").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def begin_download(self, path: str) -> socket.socket:
        """Ask for `path` and read the response's head only; the rest waits in the socket."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(ENOUGH)
        client.connect(("127.0.0.1", self.port))
        headers = {"Host": "127.0.0.1", **authorization(self.secret)}
        lines = [f"GET /diagnostics{path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        return client

    def cli(self, *words: str, cwd: Path | None = None) -> Finished:
        """Run a client command of the command line, with this host's configuration."""
        return run([*ENDOSCOPE, *words, "--config", str(self.config)], cwd=cwd)

    def curl(self, path: str, *words: str, method: str = "GET") -> Finished:
        credentials = f"Authorization: {authorization(self.secret)['Authorization']}"
        url = f"http://127.0.0.1:{self.port}/diagnostics{path}"
        return run(["curl", "-sS", "-X", method, "-H", credentials, *words, url])

    def wait(self, seconds: float = ENOUGH) -> int:
        return self.process.wait(seconds)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


def run(
    words: Sequence[str],
    *,
    cwd: Path | None = None,
    stdin: bytes = b"",
    seconds: float = ENOUGH,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program to its end."""
    began = time.monotonic()
    done = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        input=stdin,
        env=clean_environment() if environment is None else dict(environment),
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    return Finished(
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
        time.monotonic() - began,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Launcher:
    """Starts programs under `endoscope run`, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hosts: list[Host] = []

    def config(self, **settings: Any) -> Path:
        """Write a configuration file into a fresh folder, on a free port."""
        # Hosts are started by several threads at once.
        folder = Path(tempfile.mkdtemp(prefix="host-", dir=self._folder))
        section = {
            "enabled": True,
            "listen": f"127.0.0.1:{free_port()}",
            "shared_secret": SECRET,
            "output_directory": str(folder / "diagnostics"),
            **settings,
        }
        section = {name: value for name, value in section.items() if value is not None}
        path = folder / "router.yaml"
        text = yaml.safe_dump({"plugins": {"experimental_diagnostics": section}}, sort_keys=False)
        path.write_text(text)
        return path

    def start(
        self,
        words: Sequence[str],
        *,
        wrapper: Sequence[str] | None = None,
        answering: bool = True,
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        cwd: Path | None = None,
        **settings: Any,
    ) -> Host:
        """Start `words` under `endoscope run`; returns as soon as the diagnostics answer."""
        config = self.config(**settings)
        section = yaml.safe_load(config.read_text())["plugins"]["experimental_diagnostics"]
        if wrapper is None:
            wrapper = [*ENDOSCOPE, "run", "--config", str(config), "--"]
        folder = config.parent
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [*map(str, wrapper), *map(str, words)],
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=clean_environment(CONFIG=str(config)) if environment is None else environment,
            )
        host = Host(
            process,
            folder,
            int(section["listen"].rpartition(":")[2]),
            config,
            section["shared_secret"],
            Path(section["output_directory"]),
        )
        self._hosts.append(host)
        if answering:
            wait_for("diagnostics answer", host.answers)
        return host

    def run(self, words: Sequence[str], *, options: Sequence[str] = (), **how: Any) -> Finished:
        """Run `words` under `endoscope run` to their end; settings go into the file."""
        known = {"cwd", "stdin", "seconds", "environment"}
        kept = {name: how.pop(name) for name in list(how) if name in known}
        config = self.config(**how)
        return run([*ENDOSCOPE, "run", "--config", str(config), *options, "--", *words], **kept)

    def stop(self) -> None:
        for host in self._hosts:
            host.stop()
            if host.process.stdin:
                host.process.stdin.close()


@pytest.fixture(scope="session", name="run")
def _run() -> Any:
    """Run a program to its end, without Endoscope: `run(words, cwd=..., stdin=...)`."""
    return run


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Return the environment that programs are started in."""
    return clean_environment()


@pytest.fixture(scope="session", name="wait_for")
def _wait_for() -> Any:
    """Poll: `wait_for("what", condition)`."""
    return wait_for


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    """Start programs that are stopped when the test ends."""
    (tmp_path / "hosts").mkdir()
    launcher = Launcher(tmp_path / "hosts")
    yield launcher
    launcher.stop()


@pytest.fixture(scope="module")
def module_launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Start programs that are stopped when the module's tests have ended."""
    launcher = Launcher(tmp_path_factory.mktemp("hosts"))
    yield launcher
    launcher.stop()


@pytest.fixture
def leaky_service(launcher: Launcher, needs: Any) -> Any:
    """Run the leaky service with memory settings; returns the host, and how to send it traffic."""
    needs("import flask", "import leaky_service")

    def start(**memory: Any) -> tuple[Host, Any]:
        port = str(free_port())
        words = ["python", "-m", "leaky_service", "--port", port]
        host = launcher.start(words, memory={"overhead_budget_percent": 0, **memory})

        def traffic(seconds: int) -> None:
            words = ["--url", f"http://127.0.0.1:{port}", "--seconds", seconds, "--rate", 60]
            done = run([sys.executable, "-m", "leaky_service.traffic", *words])
            assert done.returncode == 0, done.stderr

        return host, traffic

    return start


@pytest.fixture(scope="session")
def needs() -> Any:
    """Skip, with a reason, where a program, a module or libjemalloc is not there."""

    def check(*names: str) -> None:
        for name in names:
            if name == "libjemalloc":
                _need_libjemalloc()
            elif name.startswith("import "):
                module = name.removeprefix("import ")
                if importlib.util.find_spec(module) is None:
                    pytest.skip(f"{module} is not installed")
            elif shutil.which(name) is None:
                pytest.skip(f"there is no {name}")

    return check


def _need_libjemalloc() -> None:
    from endoscope_memory import preload
    from endoscope_memory.settings import MemorySettings

    if sys.platform != "linux" or preload.find(MemorySettings(), {}) is None:
        pytest.skip(f"no libjemalloc is installed: {preload.install_command()}")


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    point = tmp_path / "small"
    point.mkdir()
    mounted = run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(point)])
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    yield point
    # A host that has just been killed may hold it for a moment longer.
    wait_for("unmounting", lambda: run(["umount", str(point)]).returncode == 0)


@pytest.fixture(scope="module")  # it has an event loop, in which other tests cannot run theirs
def browser() -> Iterator[Any]:
    """Start Debian's Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        # Its sandbox does not run as root; the pages are our own.
        started = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def uv() -> str:
    """Return the uv that makes environments and wheels."""
    own = Path(__file__).parents[2] / ".tools" / "bin" / "uv"
    found = shutil.which("uv", path=clean_environment()["PATH"])
    if found is None and not own.exists():
        pytest.skip("there is no uv to make environments with")
    return found or str(own)


@pytest.fixture(scope="module")
def archiving(module_launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Start hosts that archives are taken out of: `archiving(export={...})`."""
    import runpy

    start = runpy.run_path(str(Path(__file__).with_name("archive_host.py")))["start"]
    return lambda **settings: start(
        module_launcher, tmp_path_factory.mktemp("contributed"), wait_for, **settings
    )
