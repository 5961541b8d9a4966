"""Real diagnostics on a real socket, with plugins that a test writes in a few lines."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import endoscope
from endoscope import Granted, Plugin, Refused, Route, hookimpl

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "test-secret-123"
BEARER = "Bearer " + base64.b64encode(SECRET.encode()).decode()


class DoorPlugin(Plugin):
    """An authenticator of the tests' own, so that core's need no other distribution."""

    @hookimpl
    def endoscope_authenticate(self, request):
        values = request.headers.get("authorization", ())
        if not values:
            return None
        return Granted("tester") if values == (BEARER,) else Refused("wrong secret")


def with_routes(routes: tuple[Route, ...]) -> type[Plugin]:
    class RoutesPlugin(Plugin):
        @hookimpl
        def endoscope_routes(self):
            return routes

    return RoutesPlugin


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes
    all_headers: list[tuple[str, str]] = field(default_factory=list)

    def json(self) -> Any:
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self._path)


@dataclass
class Service:
    """Running diagnostics, and how to ask them."""

    diagnostics: endoscope.Diagnostics
    settings: dict[str, Any]

    @property
    def address(self):
        return self.diagnostics.address

    def ask(
        self,
        path: str = "",
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        authorization: str | None = BEARER,
    ) -> Reply:
        address = self.address
        if address.path:
            connection: http.client.HTTPConnection = UnixConnection(address.path)
        else:
            connection = http.client.HTTPConnection(address.host, address.port, timeout=20)
        sent = dict(headers or {})
        if authorization is not None:
            sent["Authorization"] = authorization
        target = path if path.startswith(("/diagnostics", "!")) else "/diagnostics" + path
        try:
            connection.request(method, target.removeprefix("!"), body=body, headers=sent)
            response = connection.getresponse()
            pairs = response.getheaders()
            lower = {name.lower(): value for name, value in pairs}
            return Reply(response.status, lower, response.read(), pairs)
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        if self.address.path:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(20)
            client.connect(self.address.path)
            return client
        return socket.create_connection((self.address.host, self.address.port), timeout=20)

    def raw(self, text: str | bytes) -> bytes:
        """Send exactly this; return what comes until the service closes or falls silent."""
        with self.connect() as client:
            client.sendall(text.encode("latin-1") if isinstance(text, str) else text)
            received = b""
            with contextlib.suppress(ConnectionResetError, TimeoutError):
                while chunk := client.recv(65536):
                    received += chunk
                    client.settimeout(0.3)
        return received

    def request_line(self, target: str, *, method: str = "GET", close: bool = True) -> str:
        ending = "Connection: close\r\n" if close else ""
        return (
            f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: {BEARER}\r\n{ending}\r\n"
        )


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.upper().startswith("ENDOSCOPE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def installed() -> list[str]:
    """Return the names of what really is installed here, which most tests leave out."""
    return sorted({point.name for point in metadata.entry_points(group="endoscope")})


@pytest.fixture
def install(tmp_path, monkeypatch) -> Iterator[Callable[..., None]]:
    """Install a class as a plugin, with an entry point of its own distribution."""
    modules: list[str] = []
    number = iter(range(1000))

    def add(name: str, loaded: Any, distribution: str | None = None) -> None:
        module = f"endoscope_test_module_{next(number)}_{time.monotonic_ns()}"
        sys.modules[module] = ModuleType(module)
        sys.modules[module].Loaded = loaded
        modules.append(module)
        add_value(name, f"{module}:Loaded", distribution)

    def add_value(name: str, value: str, distribution: str | None = None) -> None:
        distribution = distribution or f"example-{name}"
        site = tmp_path / f"site-{next(number)}"
        folder = site / f"{distribution.replace('-', '_')}-1.2.3.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2.3\n"
        )
        (folder / "entry_points.txt").write_text(f"[endoscope]\n{name} = {value}\n")
        monkeypatch.syspath_prepend(site)

    add.value = add_value
    yield add
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def section(tmp_path, installed) -> dict[str, Any]:
    """Return settings with a free port, and nothing that is installed here."""
    return {
        "enabled": True,
        "listen": "127.0.0.1:0",
        "shared_secret": SECRET,
        "output_directory": str(tmp_path / "output"),
        "plugins": {"required": [], "disabled": installed},
    }


@pytest.fixture
def serve(section, install) -> Iterator[Callable[..., Service]]:
    """Start diagnostics with these plugins, by name; stopped when the test ends."""
    running: list[endoscope.Diagnostics] = []

    def start(
        classes: Mapping[str, Any] | None = None,
        /,
        *,
        routes: tuple[Route, ...] = (),
        door: Any = DoorPlugin,
        **settings: Any,
    ) -> Service:
        if door is not None:
            install("door", door)
        if routes:
            install("probe", with_routes(routes))
        for name, loaded in (classes or {}).items():
            install(name, loaded)
        merged = {**section, **settings}
        diagnostics = endoscope.start(settings=merged)
        running.append(diagnostics)
        assert diagnostics.wait_until_serving(20)
        return Service(diagnostics, merged)

    yield start
    for diagnostics in running:
        diagnostics.stop()


@pytest.fixture
def write(tmp_path) -> Callable[[str], Path]:
    """Write a configuration file."""

    def to_file(text: str) -> Path:
        path = tmp_path / "router.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


@pytest.fixture
def eventually() -> Callable[..., bool]:
    """Return a function that waits until something holds, and says whether it does."""

    def wait(check: Callable[[], Any], seconds: float = 15.0) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if check():
                return True
            time.sleep(0.01)
        return bool(check())

    return wait


@pytest.fixture
def our_threads() -> Callable[[], list[str]]:
    return lambda: [t.name for t in threading.enumerate() if t.name.startswith("endoscope-")]


@pytest.fixture
def descriptors() -> Callable[[], set[str]]:
    """Return a function for what this process's descriptors are, as /proc names them."""

    def look() -> set[str]:
        found = set()
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.add(f"{name}:{os.readlink(f'/proc/self/fd/{name}')}")
        return {name for name in found if "/proc/" not in name}

    return look
