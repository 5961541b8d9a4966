from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import threading

import pytest
import zstandard

from made import dump_of

TAKEN = 1_795_479_593


def name_of(minute):
    return f"shop_heap_dump_{TAKEN + 60 * minute}.prof"


@pytest.fixture
def dumps(tmp_path, monkeypatch):
    """Write three dumps, minutes apart, of a leak and a cache; return their names."""
    monkeypatch.chdir(tmp_path)
    for minute in range(3):
        content = dump_of(minute, leak=1000 + 50_000 * minute, cache=70_000)
        (tmp_path / name_of(minute)).write_bytes(content)
    return [name_of(minute) for minute in range(3)]


def tar_of(members):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return written.getvalue()


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Write an archive like those of export; return its name."""
    monkeypatch.chdir(tmp_path)

    def write(dumps=(0, 1, 2), *, name="shop.tar.gz", complete=True, **more):
        members = {"config/shop.yaml": b"x: 1\n"}
        for minute in reversed(dumps):  # export has the newest first
            members[f"memory/{name_of(minute)}"] = dump_of(
                minute, leak=1000 + 50_000 * minute, cache=70_000
            )
        members |= {"shop-binary": b"\x7fELF", "binaries/libz.so.1": b"\x7fELFz", **more}
        if complete:
            members["manifest.json"] = b"{}"
        (tmp_path / name).write_bytes(packed(tar_of(members), name))
        return name

    return write


def packed(content, name):
    if name.endswith(".zst"):
        return zstandard.compress(content)
    if name.endswith(".gz"):
        return gzip.compress(content)
    return content


# --- archives as the contract has them, and as it has not -----------------------------------------


class Build:
    """Makes archives like export's, or with whatever a test wants to be wrong with them."""

    FILES = {  # noqa: RUF012
        "config/shop.yaml": b"service_name: shop\n",
        "memory/status.json": b"{}" * 300,
        "shop-binary": bytes(range(256)) * 5,
    }

    def tar(self, *members, end=True):
        """Return a tar of `(name, content)` or `(name, content, {header field: value})`."""
        parts = []
        for name, content, *fields in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in (fields[0] if fields else {}).items():
                setattr(info, field, value)
            head = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
            parts += [head, content, bytes(-len(content) % 512)]
        written = b"".join(parts)
        return written + bytes(1024 + -(len(written) + 1024) % 10240) if end else written

    def manifest(self, files, **changes):
        """Return the document of `manifest.json`."""
        rows = [
            {
                "path": path,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "modified": None,
                "plugin": "export",
                "group": path.partition("/")[0],
                "seconds": 0.0,
                "truncated": False,
            }
            for path, content in files.items()
        ]
        plugin = {"name": "export", "version": "0.1.0", "seconds": 0.5, "failures": []}
        return {
            "schema": 1,
            "complete": True,
            "made": "2026-11-24T00:00:00Z",
            "timestamp": TAKEN,
            "service_name": "shop",
            "service_version": "2.5",
            "endoscope_version": "0.1.0",
            "python_version": "3.11.7",
            "platform": "linux",
            "pid": 4711,
            "uptime_seconds": 60.5,
            "output_directory": "/var/lib/shop",
            "selection": {"only": None, "without": []},
            "plugins": [{**plugin, "timed_out": False, "disabled": False}],
            "entries": [{"plugin": "memory", "section": "memory", "name": "dumps", "value": 3}],
            "members": rows,
            "failures": [],
            "left_out": [],
            **changes,
        }

    def archive(self, files=None, *, extra=(), change=lambda _document: None, **changes):
        """Return an archive of `files` and the manifests; `extra` comes before these."""
        files = {**(self.FILES if files is None else files), "manifest.txt": b"for a person\n"}
        document = self.manifest(files, **changes)
        change(document)
        own = [*files.items(), *extra, ("manifest.json", json.dumps(document, indent=2).encode())]
        return self.tar(*own)

    def gzip(self, content):
        """Compress as export does."""
        packed = gzip.compress(content, 1, mtime=0)
        return packed[:8] + b"\0\xff" + packed[10:]

    def zstd(self, content):
        return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(content)


@pytest.fixture(scope="session")
def build():
    return Build()


@pytest.fixture
def whole(build, tmp_path):
    """Write a whole archive; return its path."""
    path = tmp_path / "shop.tar.gz"
    path.write_bytes(build.gzip(build.archive()))
    return path


@pytest.fixture
def run():
    """Run a command of ours as a user does."""

    def run(*words, stdin=None, text=True, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ENDOSCOPE_")}
        return subprocess.run(
            [sys.executable, "-m", "endoscope", *words],
            env={**clean, **environment},
            input=stdin,
            capture_output=True,
            text=text,
            timeout=60,
            check=False,
        )

    return run


# --- services that misbehave ----------------------------------------------------------------------


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        if self.path == "/diagnostics/processes":
            self.processes()
            return
        server.asked.append((self.path, self.headers.get("Authorization")))
        turn = min(len(server.asked), len(server.behaviours)) - 1
        getattr(self, server.behaviours[turn])()

    def processes(self):
        if self.server.processes is None:
            self.refuse(404, "not_found")
        else:
            self.answer(self.server.processes)

    def whole(self):
        self.answer(self.server.content)

    def damaged(self):
        content = bytearray(self.server.content)
        content[len(content) // 2] ^= 0xFF
        self.answer(bytes(content))

    def breaks_off(self):
        self.answer(self.server.content[:-100], length=len(self.server.content))

    def stalls(self):
        self.server.released.wait(30)

    def stalls_midway(self):
        self.answer(self.server.content[:500], length=len(self.server.content))
        self.server.released.wait(30)

    def busy(self):
        self.refuse(409, "export_running")

    def unavailable(self):
        self.refuse(503, "unavailable")

    def unauthorized(self):
        self.refuse(401, "unauthorized")

    def stranger(self):
        self.send_response(200)
        self.send_header("Content-Length", "100000000000000")
        self.send_header("Content-Disposition", 'attachment; filename="../../evil"')
        self.end_headers()
        self.wfile.write(b"<html>")

    def answer(self, content, length=None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        name = f'attachment; filename="{self.server.file_name}"'
        self.send_header("Content-Disposition", name)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def refuse(self, status, code):
        body = json.dumps({"error": f"it is {code}", "remedy": "Wait.", "code": code}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service(build):
    """Start a service that behaves in each of these ways in turn, and then on in the last.

    `processes` is what it answers who asks for them; if None, that it knows no such thing.
    """
    started = []

    def start(*behaviours, file_name="shop-diagnostics-1.tar.gz", processes=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.daemon_threads = True
        server.behaviours, server.file_name, server.asked = behaviours, file_name, []
        server.processes = processes
        server.content = build.gzip(build.archive())
        server.released = threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
