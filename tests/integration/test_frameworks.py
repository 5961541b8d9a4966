"""The programs of docs/frameworks.md, as they stand there, under the servers named there."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

DOCUMENT = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text(encoding="utf-8")
SECRET = "integration-secret-8f2c"
CREDENTIALS = {"Authorization": "Bearer aW50ZWdyYXRpb24tc2VjcmV0LThmMmM="}
_BLOCK = re.compile(r"```(?:python|yaml)\n# (\S+)\n(.*?)```|```sh\n(.*?)```", re.DOTALL)


def recipes(title):
    """Return the recipes of a section: the files so far, and the command that they are run by.

    Files after the last command are a recipe of each, without a command.
    """
    section = DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    files, found = {}, []
    for name, content, command in _BLOCK.findall(section):
        if command:
            found.append((dict(files), shlex.split(command)))
        else:
            files[name] = content
            found.append((dict(files), []))
    commanded = [recipe for recipe in found if recipe[1]]
    return commanded or found


FLASK, FLASK_FACTORY = recipes("Flask")
[FASTAPI] = recipes("FastAPI, Starlette")
[QUART] = recipes("Quart")
DJANGO_WSGI, DJANGO_ASGI = recipes("Django")
WHEN_READY, POST_FORK = recipes("gunicorn, without a line in the service")
[CELERY] = recipes("Celery")
SETTINGS = _BLOCK.search(DOCUMENT)[2]
READY = DOCUMENT.partition("```python\n# shop/apps.py\n")[2].partition("```")[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Connection(http.client.HTTPConnection):
    """To a port, or to a Unix socket."""

    def __init__(self, place):
        super().__init__("127.0.0.1", place if isinstance(place, int) else 80, timeout=60)
        self._place = place

    def connect(self):
        if isinstance(self._place, int):
            super().connect()
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(60)
            self.sock.connect(str(self._place))


class Shop:
    """A running recipe: the service at `port`, the diagnostics' listener at `listener`."""

    def __init__(self, process, folder, port):
        self.process = process
        self.folder = folder
        self.port = port
        self.listener = folder / "s"

    def ask(self, path="/", method="GET", *, place=None, headers=CREDENTIALS):
        connection = Connection(self.port if place is None else place)
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()

    def json(self, path, method="GET", *, place=None):
        status, body = self.ask(f"/diagnostics{path}", method, place=place)
        assert status in (200, 207), body
        return json.loads(body)

    @property
    def said(self):
        return (self.folder / "said").read_text(errors="replace")

    def is_up(self, place, path):
        assert self.process.poll() is None, self.said
        try:
            return self.ask(path, place=place)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def processes(self):
        return self.json("/processes", place=self.listener)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(20)
                raise


@pytest.fixture
def start(tmp_path_factory, environment, wait_for, needs):
    """Run a recipe, with a port and a folder of its own; returns when both listeners answer."""
    running = []

    def run(recipe, *, command=(), serves="/", **variables):
        files, words = recipe
        words = list(command or words)
        needs(f"import {words[0]}")
        folder, port = tmp_path_factory.mktemp("r"), free_port()
        for name, content in {"shop.yaml": SETTINGS, **files}.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content)
        words = [word.replace("8000", str(port)) for word in words]
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                env={
                    **environment,
                    "DIAGNOSTICS_SECRET": SECRET,
                    "SHOP_SECRET_KEY": "of the test",
                    "ENDOSCOPE_LISTEN": f"unix:{folder}/s",
                    "ENDOSCOPE_OUTPUT_DIRECTORY": f"{folder}/output",
                    **variables,
                },
            )
        shop = Shop(process, folder, port)
        running.append(shop)
        if serves:
            wait_for("the service answers", lambda: shop.is_up(port, serves))
        wait_for("diagnostics answer", lambda: shop.is_up(shop.listener, "/diagnostics"))
        return shop

    yield run
    for shop in running:
        shop.stop()


def check_door(shop, path="/diagnostics"):
    """Check who is let in through the service's port."""
    assert shop.ask(path)[0] == 200
    assert shop.ask(path, headers={})[0] == 401
    assert shop.ask(path, headers={"Authorization": "Bearer d3Jvbmc="})[0] == 401
    assert shop.ask(path, headers={**CREDENTIALS, "Host": "shop.example"})[0] == 200
    status, body = shop.ask(path, headers={**CREDENTIALS, "Host": "evil.example"})
    assert (status, b"allowed_hosts" in body) == (421, True)
    status, body = shop.ask()
    assert (status, b"the shop" in body) == (200, True)
    assert shop.ask("/diagnosticsX")[0] == 404


def check_profiling(shop, processes):
    """Profile all processes, take dumps and an archive, all through the service's port."""
    started = shop.json("/memory/start?process=all", "POST")["processes"]
    assert [answer["status"] for answer in started] == [200] * processes, started
    dumped = shop.json("/memory/dump?process=all", "POST")["processes"]
    assert [answer["status"] for answer in dumped] == [200] * processes, dumped
    assert len(shop.json("/memory/dumps")) == processes
    status, archive = shop.ask("/diagnostics/export?without=binary")
    assert status == 200
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = tar.getnames()
    assert any(name.endswith("manifest.json") for name in names)
    assert sum(name.endswith(".prof") for name in names) == processes


def check(shop, wait_for, processes=2):
    wait_for("all have joined", lambda: len(shop.processes()) == processes)
    check_door(shop)
    check_profiling(shop, processes)
    shop.stop()
    assert "Traceback" not in shop.said


# --- on the service's own port --------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [FLASK, FLASK_FACTORY], ids=["module", "factory"])
def test_flask(start, wait_for, needs, recipe):
    needs("import flask")
    check(start(recipe), wait_for)


@pytest.mark.parametrize("worker", ["sync", "gevent"])
def test_other_workers_of_gunicorn(start, wait_for, needs, worker):
    needs("import flask", "import gevent")
    options = ["--workers", "2", "--worker-class", worker, "--timeout", "60"]
    command = ["gunicorn", *options, "--bind", "127.0.0.1:8000", "shop:app"]
    check(start(FLASK, command=command), wait_for)


def test_gunicorn_that_loads_the_service_before_it_forks(start, wait_for, needs):
    needs("import flask")
    shop = start(FLASK, command=[*FLASK[1], "--preload"])
    check(shop, wait_for, processes=3)


def test_fastapi(start, wait_for, needs):
    needs("import fastapi")
    check(start(FASTAPI), wait_for)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_either_loop_of_uvicorn(start, wait_for, needs, loop):
    needs("import fastapi", f"import {loop}")
    shop = start(FASTAPI, command=["uvicorn", "--port", "8000", "--loop", loop, "shop:app"])
    check(shop, wait_for, processes=1)


def test_asgi_that_is_loaded_before_gunicorn_forks(start, wait_for, needs):
    needs("import fastapi", "import gunicorn.workers.gasgi")
    options = ["--workers", "2", "--worker-class", "asgi", "--preload"]
    command = ["gunicorn", *options, "--bind", "127.0.0.1:8000", "shop:app"]
    check(start(FASTAPI, command=command), wait_for, processes=3)


def test_quart(start, wait_for):
    check(start(QUART), wait_for)


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_granian(start, wait_for, needs, interface):
    needs("import fastapi", "import flask")
    options = ["--interface", interface, "--workers", "2", "--port", "8000"]
    recipe = FASTAPI if interface == "asgi" else FLASK
    check(start(recipe, command=["granian", *options, "shop:app"]), wait_for)


@pytest.mark.parametrize("recipe", [DJANGO_WSGI, DJANGO_ASGI], ids=["wsgi", "asgi"])
@pytest.mark.parametrize("ready", [False, True], ids=["", "ready"])
def test_django(start, wait_for, needs, recipe, ready):
    needs("import django")
    files, command = recipe
    if ready:
        installed = files["shop/settings.py"] + 'INSTALLED_APPS = ["shop.apps.ShopConfig"]\n'
        files = {**files, "shop/settings.py": installed, "shop/apps.py": READY}
    check(start((files, command)), wait_for)


def test_a_door_that_dies_holds_nobody_up(start, wait_for, needs):
    needs("import flask")
    shop = start(FLASK)
    wait_for("all have joined", lambda: len(shop.processes()) == 2)
    [door] = [process["pid"] for process in shop.processes() if process["role"] == "door"]
    os.kill(door, signal.SIGKILL)
    wait_for("another takes over", lambda: shop.is_up(shop.port, "/diagnostics"), 10)
    assert door not in [process["pid"] for process in shop.processes()]
    check_door(shop)


@pytest.mark.parametrize(
    ("recipe", "prefix"),
    [(FASTAPI, ""), (QUART, "/shop")],
    ids=["uvicorn, taken off", "hypercorn, left on"],
)
def test_behind_a_prefix(start, needs, recipe, prefix):
    if recipe is FASTAPI:
        needs("import fastapi")
    shop = start(recipe, command=[*recipe[1], "--root-path", "/shop"], serves=f"{prefix}/")
    assert shop.ask(f"{prefix}/diagnostics/plugins")[0] == 200
    assert shop.ask(f"{prefix}/diagnostics", headers={})[0] == 401


def test_behind_a_prefix_of_gunicorn_s(start, needs):
    needs("import flask")
    shop = start(FLASK, serves="/shop/", SCRIPT_NAME="/shop")
    assert shop.ask("/shop/diagnostics/plugins")[0] == 200
    assert shop.ask("/shop/diagnostics", headers={})[0] == 401
    assert shop.ask("/shop/")[1] == b"the shop"


# --- on the listener only -------------------------------------------------------------------------

PLAIN = """\
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"the shop"]
"""


@pytest.mark.parametrize(
    ("recipe", "processes"), [(WHEN_READY, 3), (POST_FORK, 2)], ids=["when_ready", "post_fork"]
)
def test_gunicorn_without_a_line_in_the_service(start, wait_for, needs, recipe, processes):
    files = {**recipe[0], "shop.py": PLAIN}
    command = ["gunicorn", "--workers", "2", "--bind", "127.0.0.1:8000", "shop:app"]
    shop = start((files, command))
    wait_for("all have joined", lambda: len(shop.processes()) == processes)
    shop.stop()
    assert "Traceback" not in shop.said


def test_celery(start, wait_for, needs):
    needs("import celery")
    shop = start(CELERY, serves="")
    wait_for("the pool's processes have joined", lambda: len(shop.processes()) == 3)
    shop.stop()
    assert "Traceback" not in shop.said
