"""What goes wrong: one clear message with its remedy, no stack trace, and nothing lost."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

PROGRAM = ["python", "-c", "print('the program ran')"]


def is_clear(done, *words: str) -> bool:
    """Tell whether a refused start said everything in a few lines, and ran nothing."""
    assert done.returncode not in (0, 1), done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    return True


# --- starts that are refused ---------------------------------------------------------------


def test_a_taken_port(launcher):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = launcher.run(PROGRAM, listen=address)
    assert is_clear(done, f"cannot listen on {address}", "in use", "free address")


def test_an_output_directory_that_is_a_symlink(launcher, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    done = launcher.run(PROGRAM, output_directory=str(tmp_path / "link"))
    assert is_clear(done, "symbolic link", "output_directory")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_output_directory_of_another_user(launcher, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("giving a directory away takes root")
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    done = launcher.run(PROGRAM, output_directory=str(tmp_path / "theirs"))
    assert is_clear(done, "belongs to user 12345", "output_directory")


def test_an_output_directory_that_others_may_write(launcher, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    done = launcher.run(PROGRAM, output_directory=str(tmp_path / "open"))
    assert is_clear(done, "others may write", "output_directory")


def test_a_file_where_the_output_directory_should_be(launcher, tmp_path):
    (tmp_path / "file").write_text("")
    done = launcher.run(PROGRAM, output_directory=str(tmp_path / "file" / "below"))
    assert is_clear(done, "cannot make", "output_directory")


@pytest.mark.parametrize("secret", [None, "", "   ", "${env.SURELY_NOT_SET}"])
def test_a_missing_secret(launcher, secret):
    assert is_clear(launcher.run(PROGRAM, shared_secret=secret), "shared_secret", "router.yaml")


def test_five_mistakes_are_told_at_once(launcher):
    mistakes = {
        "listen": "nowhere",
        "shared_secret": None,
        "service_nam": "router",
        "grace_seconds": -1,
        "memory": {"keep_dumps": "many"},
    }
    done = launcher.run(PROGRAM, **mistakes)
    assert is_clear(done, "5 mistakes", "`service_name`?", "memory.keep_dumps", "grace_seconds")
    assert done.stderr.count("router.yaml:") == 5


def test_a_file_that_is_no_yaml(launcher, run):
    config = launcher.config()
    config.write_text("plugins: [")
    words = ["python", "-m", "endoscope", "run", "--config", str(config), "--", *PROGRAM]
    assert is_clear(run(words), "is not YAML", str(config))


def test_a_file_that_is_missing(run, tmp_path):
    config = tmp_path / "none.yaml"
    words = ["python", "-m", "endoscope", "run", "--config", str(config), "--", *PROGRAM]
    assert is_clear(run(words), "cannot be read", str(config))


# --- a full disk -----------------------------------------------------------------------------


def test_a_full_disk(launcher, tmpfs, needs):
    needs("libjemalloc")
    output = tmpfs / "diagnostics"
    host = launcher.start(
        ["python", "-c", "import time; time.sleep(60)"], output_directory=str(output)
    )
    host.post("/memory/start")
    with (tmpfs / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    answer = host.ask("POST", "/memory/dump")
    assert (answer.status, answer.json["code"]) == (507, "no_space")
    assert "dumps" in answer.json["remedy"]
    assert list((output / "memory").iterdir()) == []
    (tmpfs / "filler").unlink()
    assert host.post("/memory/dump")["status"] == "dumped"
    host.stop()


# --- who asks, and for what --------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(module_launcher, needs):
    """Run a host with a long secret that is not ASCII, and one dump."""
    needs("libjemalloc")
    host = module_launcher.start(
        ["python", "-c", "import time; time.sleep(100)"], shared_secret="geheim-ß-" + "é" * 100
    )
    host.post("/memory/start")
    host.post("/memory/dump")
    return host


def dumps_folder(host) -> Path:
    return host.output / "memory"


def test_the_documented_curl_line_takes_a_long_secret_of_any_alphabet(host, needs):
    needs("curl", "base64")
    url = f"http://127.0.0.1:{host.port}/diagnostics"
    line = 'curl -s -H "Authorization: Bearer $(printf %s "$SECRET" | base64 -w0)" "$0"'
    environment = {**os.environ, "SECRET": host.secret}
    done = subprocess.run(
        ["sh", "-c", line, url], env=environment, capture_output=True, check=True, timeout=30
    )
    assert json.loads(done.stdout)["service"] == "router"


NAMES = {
    "dots": "%2e%2e%2f%2e%2e%2frouter.yaml",
    "plain dots": "../../router.yaml",
    "dots with an ending": "..%2frouter.prof",
    "NUL": "router%00.prof",
    "line end": "router.prof%0a",
    "5,000 characters": "a" * 5000 + ".prof",
    "hidden": ".hidden.prof",
    "link": "link.prof",
    "FIFO": "fifo.prof",
    "folder": "folder.prof",
}


@pytest.fixture
def traps(host, tmp_path):
    """Put into the dumps' folder what must be neither read nor deleted."""
    folder = dumps_folder(host)
    precious = tmp_path / "precious.prof"
    precious.write_text("precious")
    made = [folder / "link.prof", folder / "fifo.prof", folder / "folder.prof"]
    made[0].symlink_to(precious)
    os.mkfifo(made[1])
    made[2].mkdir()
    yield precious
    made[0].unlink()
    made[1].unlink()
    made[2].rmdir()


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_name_that_is_no_dump_s_is_refused(host, traps, method, name):
    before = sorted(path.name for path in dumps_folder(host).iterdir())
    # curl normalises dots away unless told not to.
    done = host.curl(
        f"/memory/dumps/{NAMES[name]}",
        "--path-as-is",
        "-o",
        "-",
        "-w",
        "\n%{http_code}",
        method=method,
    )
    body, _, status = done.stdout.rpartition("\n")
    assert int(status) == json.loads(body)["status"]
    assert status in {"400", "404"}, status
    assert "precious" not in body
    assert sorted(path.name for path in dumps_folder(host).iterdir()) == before
    assert traps.read_text() == "precious"


def test_clearing_leaves_what_is_no_dump(host, traps):
    host.post("/memory/dump")
    cleared = host.ask("DELETE", "/memory/dumps")
    assert cleared.json["status"] == "cleared"
    left = sorted(path.name for path in dumps_folder(host).iterdir())
    assert left == ["fifo.prof", "folder.prof", "link.prof"]
    assert traps.read_text() == "precious"
    host.post("/memory/dump")


CREDENTIALS = {
    "none": {},
    "wrong scheme": {"Authorization": "Basic dGVzdDp0ZXN0"},
    "bad base64": {"Authorization": "Bearer %%%"},
    "wrong secret": {"Authorization": "Bearer " + base64.b64encode(b"wrong").decode()},
    "empty": {"Authorization": "Bearer "},
}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "OPTIONS"])
@pytest.mark.parametrize("path", ["", "/memory/status", "/nowhere", "/memory/dumps/../x"])
@pytest.mark.parametrize("kind", sorted(CREDENTIALS))
def test_without_valid_credentials_everything_is_a_401(host, kind, path, method):
    answer = host.ask(method, path, {"Host": "127.0.0.1", **CREDENTIALS[kind]})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="diagnostics"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["code"] == "unauthorized"


def test_a_websocket_without_credentials_is_a_401(host):
    upgrade = {
        "Host": "127.0.0.1",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
    }
    assert host.ask("GET", "", upgrade).status == 401


def test_a_foreign_host_header_is_a_421(host):
    token = base64.b64encode(host.secret.encode()).decode()
    answer = host.ask("GET", "", {"Host": "evil.example", "Authorization": f"Bearer {token}"})
    assert (answer.status, answer.json["code"]) == (421, "misdirected")


def test_the_secret_is_nowhere(host, tmp_path, run):
    encoded = base64.b64encode(host.secret.encode())
    for path in ("", "/plugins", "/memory/status", "/memory/dumps"):
        answer = host.ask("GET", path)
        assert encoded not in answer.body
        assert host.secret not in answer.body.decode()
    archive = tmp_path / "archive.tar.gz"
    archive.write_bytes(host.ask("GET", "/export").body)
    assert run(["tar", "-xzf", archive, "-C", tmp_path]).returncode == 0
    for file in tmp_path.rglob("*"):
        # Heap dumps are sent byte for byte; they hold addresses, not memory.
        if file.is_file() and file.name != "archive.tar.gz":
            content = file.read_bytes()
            assert encoded not in content, file
            assert host.secret.encode() not in content, file
    assert host.secret not in host.stderr
    assert encoded.decode() not in host.stderr
    shown = Path(f"/proc/{host.pid}/cmdline").read_bytes()
    assert host.secret.encode() not in shown
