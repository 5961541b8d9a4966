"""What diagnostics cost a host that nobody diagnoses: start-up, memory, speed, wake-ups.

    python benchmarks/idle_cost.py [--repeat 5] [--seconds 3] [--idle 10] [--active]

Starts the same small host (`idle_host.py`, a WSGI application on the standard library's
server) in several ways, one after the other, `--repeat` rounds, each round in another
order, and prints a table: medians, and in parentheses the median of the differences (of
the ratios, for what is said of requests) to the plain start of the same round.

Everything happens on loopback and in a temporary folder. All ways use interpreters that
differ in one thing: whether Endoscope's `.pth` file is in their site-packages. Bytecode is
written into that folder and is warm, as in any installed service.

The host waits for one request from before it is started, on a socket that it inherits, so
that nothing has to ask over and over when its first answer comes.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import os
import platform
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = Path(__file__).with_name("idle_host.py")
PTH = "zz_endoscope.pth"
LONGEST_START = 60.0
# The host is settled when it has done nothing for so long. Endoscope's own thread gives the
# host its first second; this must be longer.
SETTLE = 2.0
CONNECTIONS = 8
# Variables of the caller that would make one start differ from an ordinary one.
LEFT_OUT = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONMALLOC", "LD_PRELOAD", "MALLOC_CONF")


@dataclass(frozen=True)
class Way:
    """One way to start the host: under a title, with a configuration or none."""

    title: str
    pth: bool = True
    config: str = ""
    launcher: bool = False
    jemalloc: bool = False
    active: bool = False

    @property
    def diagnosed(self) -> bool:
        """Whether diagnostics answer in it."""
        return self.config not in ("", "disabled")


PLAIN = Way("plain, no `.pth` file", pth=False)
WAYS = (
    PLAIN,
    Way("installed, started plainly"),
    Way("`endoscope run`, `enabled: false`", config="disabled", launcher=True),
    Way("enabled by `endoscope.start()`", config="pymalloc"),
    Way("`endoscope run`, enabled, no jemalloc", config="pymalloc", launcher=True),
    Way("`endoscope run`, enabled, jemalloc", config="jemalloc", launcher=True, jemalloc=True),
)
ACTIVE = Way("the same, profiling", config="jemalloc", launcher=True, jemalloc=True, active=True)


@dataclass(frozen=True)
class Figures:
    """What one start of the host showed: seconds, bytes, requests per second.

    `asked` is how long diagnostics took for their first answer, `rss_asked` the resident
    memory after it.
    """

    first_line: float
    first_answer: float
    cpu: float
    rss: int
    pss: int
    asked: float
    rss_asked: int
    requests: float
    cpu_per_request: float


@dataclass(frozen=True)
class Activity:
    """What a process has done so far: CPU in seconds, context switches, and its threads."""

    cpu: float
    switches: int
    threads: int


class Place:
    """A temporary folder with two interpreters, the configurations and the bytecode."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = secrets.token_urlsafe(32)
        self.socket = folder / "diagnostics"
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in LEFT_OUT and not name.startswith("ENDOSCOPE_")
        }
        self.environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        self._interpreters = {pth: self._make_interpreter(pth=pth) for pth in (False, True)}
        for name, lines in {
            "disabled": ["enabled: false"],
            "pymalloc": ["enabled: true", f"memory: {{jemalloc_path: {folder}/none}}"],
            "jemalloc": ["enabled: true"],
        }.items():
            self._write_config(name, lines)

    def command(self, way: Way, descriptor: int) -> list[str]:
        """Return the command line that starts the host in that way."""
        interpreter = self._interpreters[way.pth]
        host = [interpreter, str(HOST), str(descriptor)]
        config = str(self.folder / f"{way.config}.yaml")
        if way.launcher:
            return [interpreter, "-m", "endoscope", "run", "--config", config, "--", *host]
        return [*host, config] if way.config else host

    def _make_interpreter(self, *, pth: bool) -> str:
        """Make a virtual environment that sees all that this one sees, by path alone."""
        folder = self.folder / ("with" if pth else "without")
        venv.create(folder, symlinks=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site_packages = folder / "lib" / version / "site-packages"
        paths = list(installed_paths())
        # Paths in a `.pth` file are searched, but `.pth` files in those folders are not read.
        (site_packages / "environment.pth").write_text("\n".join(paths), encoding="utf-8")
        if pth:
            found = (Path(path, PTH) for path in paths)
            installed = next((path for path in found if path.exists()), None)
            if installed is None:
                sys.exit(f"{PTH} is not installed in the environment of {sys.executable}")
            shutil.copy(installed, site_packages / PTH)
        return str(folder / "bin" / "python")

    def _write_config(self, name: str, lines: Sequence[str]) -> None:
        section = [
            f"listen: 'unix:{self.socket}'",
            f"shared_secret: '{self.secret}'",
            f"output_directory: '{self.folder}/output'",
            *lines,
        ]
        text = "\n".join(["experimental_diagnostics:", *(f"  {line}" for line in section)])
        (self.folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def installed_paths() -> Iterator[str]:
    """Return where this interpreter finds what is installed, editable installs included."""
    library = os.path.dirname(os.__file__)
    for path in sys.path[1:]:
        if os.path.isdir(path) and path not in (library, os.path.join(library, "lib-dynload")):
            yield path


class Child:
    """The host, started in one way, from its start to its first answer."""

    def __init__(self, place: Place, way: Way) -> None:
        self._place = place
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            self.port: int = listener.getsockname()[1]
            with socket.create_connection(("127.0.0.1", self.port), LONGEST_START) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                self._start(way, listener.fileno())
                try:
                    self._receive_first_answer(client)
                except BaseException:
                    self.stop()
                    raise

    def _start(self, way: Way, descriptor: int) -> None:
        self._log = self._place.folder / "log"
        with self._log.open("wb") as log:
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                self._place.command(way, descriptor),
                env=self._place.environment,
                pass_fds=[descriptor],
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def _receive_first_answer(self, client: socket.socket) -> None:
        line = self.process.stdout.readline() if self.process.stdout else b""
        if not line:
            sys.exit(f"the host did not start:\n{self._log.read_text(errors='replace')}")
        if not client.recv(4096).startswith(b"HTTP/1.0 200"):
            sys.exit("the host did not answer as it should")
        self.first_answer = time.monotonic() - self.started
        self.first_line = json.loads(line)["first_line"] - self.started

    def settle(self) -> None:
        """Wait until it has done nothing for a while."""
        before, deadline = -1, time.monotonic() + LONGEST_START
        while before != (before := self.activity().switches):
            if time.monotonic() > deadline:
                sys.exit("the host does not come to rest")
            time.sleep(SETTLE)

    def ask_diagnostics(self, method: str, path: str) -> float:
        """Send diagnostics one request; return after how many seconds a good answer came."""
        begun = time.monotonic()
        credentials = base64.b64encode(self._place.secret.encode()).decode()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LONGEST_START)
            client.connect(str(self._place.socket))
            client.sendall(
                f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
                f"Authorization: Bearer {credentials}\r\nConnection: close\r\n\r\n".encode()
            )
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        if not answer.startswith(b"HTTP/1.1 200"):
            sys.exit(f"{method} {path}: {answer.decode(errors='replace')}")
        return time.monotonic() - begun

    def memory(self) -> tuple[int, int]:
        """Return the resident and the proportional set size, in bytes."""
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()[1:]
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return sizes["Rss"], sizes["Pss"]

    def activity(self) -> Activity:
        """Return what all of its threads have done so far."""
        switches, threads = 0, 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # the thread has just ended
                status = (task / "status").read_text().splitlines()
                switches += sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
                threads += 1
        # The clock of another process, threads that have ended included: CPUCLOCK_SCHED in
        # the kernel's posix-timers.h. In nanoseconds, where /proc/PID/stat has hundredths.
        return Activity(time.clock_gettime((~self.process.pid << 3) | 2), switches, threads)

    def stop(self) -> None:
        """End it, and it alone."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextlib.contextmanager
def running(place: Place, way: Way) -> Iterator[Child]:
    """Run the host, and yield it once it is settled."""
    child = Child(place, way)
    try:
        child.settle()
        if way.jemalloc and "jemalloc" not in Path(f"/proc/{child.process.pid}/maps").read_text():
            sys.exit("no jemalloc was found: measure without it by --without-jemalloc")
        if way.active:
            child.ask_diagnostics("POST", "/diagnostics/memory/start")
            child.settle()
        yield child
    finally:
        child.stop()


def measure(place: Place, way: Way, seconds: float) -> Figures:
    """Start the host, wait until it is settled, weigh it, and then have it work."""
    with running(place, way) as child:
        rss, pss = child.memory()
        cpu = child.activity().cpu
        asked = child.ask_diagnostics("GET", "/diagnostics") if way.diagnosed else 0.0
        child.settle()
        rss_asked = child.memory()[0]
        before = child.activity().cpu
        requests = requests_per_second(child.port, seconds)
        return Figures(
            first_line=child.first_line,
            first_answer=child.first_answer,
            cpu=cpu,
            rss=rss,
            pss=pss,
            asked=asked,
            rss_asked=rss_asked,
            requests=requests,
            cpu_per_request=(child.activity().cpu - before) / (requests * seconds),
        )


def measure_idle(place: Place, way: Way, seconds: float) -> Activity:
    """Return what the host does in so many seconds in which nobody asks it anything."""
    with running(place, way) as child:
        if way.diagnosed:
            child.ask_diagnostics("GET", "/diagnostics")
            child.settle()
        before = child.activity()
        time.sleep(seconds)
        after = child.activity()
    return Activity(after.cpu - before.cpu, after.switches - before.switches, after.threads)


def requests_per_second(port: int, seconds: float) -> float:
    """Have the host answer as many requests as it can."""
    if shutil.which("wrk") is None:
        return _requests_without_wrk(port, seconds)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s"]
    result = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=True,
    )
    rate = next(line for line in result.stdout.splitlines() if line.startswith("Requests/sec"))
    return float(rate.split()[1])


def _requests_without_wrk(port: int, seconds: float) -> float:
    deadline = time.monotonic() + seconds
    answered = [0] * CONNECTIONS

    def ask(number: int) -> None:
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            answered[number] += 1

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(CONNECTIONS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return sum(answered) / seconds


# --- the table -------------------------------------------------------------------------------


def table(
    ways: Sequence[Way], figures: dict[Way, list[Figures]], idle: dict[Way, Activity]
) -> Iterator[str]:
    """Yield the lines of the table, in Markdown."""
    titles = ("", "host's first line, s", "host's first answer, s", "CPU until settled, s")
    titles += ("RSS, MB", "PSS, MB", "Endoscope's first answer, s", "RSS after it, MB")
    titles += ("requests/s", "CPU per request, µs")
    titles += ("idle: CPU, ms", "context switches", "threads")
    yield row(titles)
    yield row(["---", *["---:"] * (len(titles) - 1)])
    for way in ways:
        own, plain = figures[way], figures[PLAIN]

        def median(read: Callable[[Figures], float]) -> tuple[float, float]:
            pairs = zip(own, plain, strict=True)  # noqa: B023  called in this turn of the loop
            differences = [read(one) - read(other) for one, other in pairs]
            return statistics.median(map(read, own)), statistics.median(differences)  # noqa: B023

        def ratio(read: Callable[[Figures], float]) -> tuple[float, float]:
            pairs = zip(own, plain, strict=True)  # noqa: B023  as above
            ratios = [read(one) / read(other) for one, other in pairs]
            return statistics.median(map(read, own)), statistics.median(ratios)  # noqa: B023

        asked = f"{statistics.median(figure.asked for figure in own):.3f}"
        yield row(
            (
                way.title,
                "{:.3f} ({:+.3f})".format(*median(lambda figure: figure.first_line)),
                "{:.3f} ({:+.3f})".format(*median(lambda figure: figure.first_answer)),
                "{:.2f} ({:+.2f})".format(*median(lambda figure: figure.cpu)),
                "{:.1f} ({:+.1f})".format(*median(lambda figure: figure.rss / 1e6)),
                "{:.1f} ({:+.1f})".format(*median(lambda figure: figure.pss / 1e6)),
                asked if way.diagnosed else "",
                "{:.1f} ({:+.1f})".format(*median(lambda figure: figure.rss_asked / 1e6)),
                "{:.0f} ({:.2f})".format(*ratio(lambda figure: figure.requests)),
                "{:.0f} ({:.2f})".format(*ratio(lambda figure: figure.cpu_per_request * 1e6)),
                f"{idle[way].cpu * 1000:.1f}",
                str(idle[way].switches),
                str(idle[way].threads),
            )
        )


def row(cells: Sequence[str]) -> str:
    """Return one line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def say(text: str) -> None:
    """Tell on standard error what is going on; standard output has the table only."""
    print(text, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    """Read the command line, whose numbers are bounded."""

    def number(text: str) -> float:
        value = float(text)
        if not 0 < value <= 120:
            raise argparse.ArgumentTypeError("between 0 and 120")
        return value

    def whole(text: str) -> int:
        return max(1, round(number(text)))

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--repeat", type=whole, default=5, help="rounds (5)")
    parser.add_argument("--seconds", type=whole, default=3, help="of requests per start (3)")
    parser.add_argument("--idle", type=number, default=10.0, help="seconds to stay idle (10)")
    parser.add_argument("--active", action="store_true", help="measure profiling, too")
    parser.add_argument("--without-jemalloc", action="store_true", help="where there is none")
    return parser.parse_args()


def main() -> None:
    """Measure every way, interleaved, and print the table."""
    arguments = parse_arguments()
    ways = [*WAYS, ACTIVE] if arguments.active else list(WAYS)
    if arguments.without_jemalloc:
        ways = [way for way in ways if not way.jemalloc]
    figures: dict[Way, list[Figures]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(prefix="idle-cost-") as folder:
        place = Place(Path(folder))
        say("warming up")
        for way in ways:
            with running(place, way):
                pass
        for number in range(arguments.repeat):
            say(f"round {number + 1} of {arguments.repeat}")
            turn = number % len(ways)
            for way in ways[turn:] + ways[:turn]:
                figures[way].append(measure(place, way, arguments.seconds))
        say("idle")
        idle = {way: measure_idle(place, way, arguments.idle) for way in ways}
    client = "wrk" if shutil.which("wrk") else "a client in Python"
    print(
        f"CPython {platform.python_version()}, {os.cpu_count()} cores, {len(figures[PLAIN])} "
        f"rounds; requests for {arguments.seconds:g} s by {client}, {CONNECTIONS} connections; "
        f"idle for {arguments.idle:g} s.\n"
    )
    for line in table(ways, figures, idle):
        print(line)


if __name__ == "__main__":
    main()
