"""`endoscope run` becomes the program: what it prints, how it ends, and what it sees."""

from __future__ import annotations

import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

PROBE = """\
#!/usr/bin/env python
import json, os, signal, subprocess, sys

def variables(*words):
    return sorted(subprocess.run(words, capture_output=True, text=True).stdout.split("\\0"))

print(json.dumps({
    "argv": sys.argv,
    "name": __name__,
    "package": __package__,
    "file": globals().get("__file__"),
    "path": sys.path,
    "executable": sys.executable,
    "prefix": sys.prefix,
    "flags": repr(sys.flags),
    "xoptions": sys._xoptions,
    "warnoptions": sys.warnoptions,
    "stdin": sys.stdin.read(),
    "cwd": os.getcwd(),
    "environment": dict(os.environ),
    "child": variables("env", "-0"),
    "handlers": [str(signal.getsignal(n)) for n in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "umask": os.umask(0o022),
}))
"""

TRACEBACK = """\
def inner():
    raise KeyError("the program's own")
inner()
"""

EXIT_ORDER = """\
import atexit, threading
def late():
    print("thread ends", flush=True)
atexit.register(print, "first registered")
atexit.register(print, "last registered")
threading.Timer(0.2, late).start()
print("main ends")
"""


SEES = {
    "a script": ("python", "probe.py", "one", "--two", ""),
    "a script by a relative path": ("./probe.py", "-h"),
    "a script on the PATH": ("probe.py", "x"),
    "code": ("python", "-c", PROBE, "-x"),
    "a module": ("python", "-O", "-m", "package", "--", "a b"),
    "a folder": ("python", "package"),
    "standard input": ("python", "-"),
    "options": ("python", "-X", "dev", "-X", "utf8", "-W", "error", "-u", "probe.py"),
    "no environment": ("python", "-E", "-s", "-B", "probe.py"),
    "isolated": ("python", "-I", "probe.py"),
}

ASYNCIO = """\
import asyncio, threading
async def main():
    for number in range(3):
        print(await asyncio.to_thread(lambda n=number: n * n), flush=True)
    loop = asyncio.get_running_loop()
    print(threading.current_thread() is threading.main_thread(), type(loop).__name__)
asyncio.run(main(), debug=True)
"""

# The program's code, and the exit status (a signal's number, negative) that it ends with.
ENDS = {
    "exits": ("import sys; sys.exit(3)", 3),
    "exits with a text": ("import sys; sys.exit('a reason')", 1),
    "exits at once": ("import os; os._exit(9)", 9),
    "aborts": ("import os; os.abort()", -signal.SIGABRT),
    "terminates itself": (
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        -signal.SIGTERM,
    ),
    "syntax error": ("syntax error", 1),
    "raises": (TRACEBACK, 1),
    "exit order": (EXIT_ORDER, 0),
    "a thread raises": ("import threading; threading.Thread(target=lambda: 1/0).start()", 0),
    "replaces itself": (
        "import os; print(1, flush=True); os.execlp('sh', 'sh', '-c', 'env; exit 4')",
        4,
    ),
    "reads": ("import sys; print(sys.stdin.readline(), sys.stdin.read())", 0),
    "logs": ("import logging; logging.warning('w'); print(logging.root.handlers)", 0),
    "asyncio": (ASYNCIO, 0),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a program that prints what it finds around it, and some that end."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "probe.py").write_text(PROBE)
    (folder / "probe.py").chmod(0o755)
    (folder / "package").mkdir()
    (folder / "package" / "__main__.py").write_text(PROBE)
    for name, (code, _) in ENDS.items():
        (folder / f"that {name}.py").write_text(code)
    return folder


@pytest.fixture(scope="module")
def both(module_launcher, run, environment, folder):
    """Run every program without Endoscope and with it, as many at once as there are cores."""
    path = f"{folder}{os.pathsep}{environment['PATH']}"
    how = {"cwd": folder, "environment": {**environment, "PATH": path}}

    def compare(words, stdin):
        plain = run(words, stdin=stdin, **how)
        return plain, module_launcher.run(words, stdin=stdin, **how)

    cases = {name: (w, PROBE if w[-1] == "-" else "some text") for name, w in SEES.items()}
    cases.update({name: (("python", f"that {name}.py"), "a line\nthe rest") for name in ENDS})
    cases["asyncio"] = (("python", "-X", "dev", "that asyncio.py"), "")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = {n: pool.submit(compare, w, stdin.encode()) for n, (w, stdin) in cases.items()}
        concurrent.futures.wait(waiting.values())
    return {name: future.result for name, future in waiting.items()}


def seen(finished):
    """Return what the probe saw, without the one variable that is ours."""
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    found["environment"].pop("ENDOSCOPE_RUN", None)
    found["child"] = [line for line in found["child"] if not line.startswith("ENDOSCOPE_RUN=")]
    return found


@pytest.mark.parametrize("name", SEES)
def test_the_program_sees_what_it_would_see_without(both, name):
    plain, with_diagnostics = both[name]()
    assert seen(with_diagnostics) == seen(plain)
    assert with_diagnostics.stderr == plain.stderr


@pytest.mark.parametrize("name", ENDS)
def test_the_program_ends_as_it_would_end_without(both, name):
    plain, with_diagnostics = both[name]()
    assert plain.returncode == ENDS[name][1]
    assert with_diagnostics.returncode == plain.returncode
    lines = with_diagnostics.stdout.splitlines()
    ours = [line for line in lines if line.startswith("ENDOSCOPE_RUN=")]
    assert [line for line in lines if line not in ours] == plain.stdout.splitlines()
    assert with_diagnostics.stderr == plain.stderr


def test_launch_variables_of_the_user_come_back(launcher, run, environment, folder):
    user = {**environment, "MALLOC_CONF": "narenas:2", "PYTHONMALLOC": "pymalloc_debug"}
    plain = run(["python", "probe.py"], cwd=folder, environment=user)
    finished = launcher.run(["python", "probe.py"], cwd=folder, environment=user)
    assert seen(finished) == seen(plain)
    assert seen(finished)["environment"]["MALLOC_CONF"] == "narenas:2"


SERVERS = {
    "http.server": ["python", "-m", "http.server", "--bind", "127.0.0.1", "{port}"],
    "flask": ["flask", "--app", "wsgi", "run", "--port", "{port}"],
    "uvicorn": ["uvicorn", "asgi:app", "--port", "{port}"],
    "gunicorn": ["gunicorn", "-w", "1", "-b", "127.0.0.1:{port}", "wsgi:app"],
}
WSGI = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the service"]
"""
FLASK = """\
from flask import Flask
app = Flask(__name__)
app.add_url_rule("/", view_func=lambda: "the service")
"""
ASGI = """\
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the service"})
"""


@pytest.mark.parametrize(
    ("name", "stop"),
    [
        ("http.server", signal.SIGTERM),
        ("http.server", signal.SIGINT),
        ("flask", signal.SIGTERM),
        ("uvicorn", signal.SIGTERM),
        ("uvicorn", signal.SIGINT),
        ("gunicorn", signal.SIGTERM),
    ],
    ids=str,
)
def test_servers_serve_and_end_as_without(launcher, needs, fetch, port, tmp_path, name, stop):
    if name != "http.server":
        needs(f"import {name}")
    (tmp_path / "wsgi.py").write_text(FLASK if name == "flask" else WSGI)
    (tmp_path / "asgi.py").write_text(ASGI)
    (tmp_path / "index.html").write_text("the service")
    words = [word.format(port=port) for word in SERVERS[name]]

    plain = launcher.start(words, wrapper=(), answering=False, cwd=tmp_path)
    assert fetch(port) == b"the service"
    plain.process.send_signal(stop)
    status = plain.wait()

    host = launcher.start(words, cwd=tmp_path)
    assert fetch(port) == b"the service"
    # Of a server with workers, which have the door, it is the one that minds them.
    assert host.pid in {row["pid"] for row in host.get("/processes")}
    host.process.send_signal(stop)
    assert host.wait() == status
    assert "Traceback" not in host.stderr or "Traceback" in plain.stderr


@pytest.fixture
def fetch(wait_for):
    """Ask the service itself, as soon as it is there."""
    import urllib.error
    import urllib.request

    def ask(port):
        def once():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                    return answer.read()
            except (urllib.error.URLError, OSError):
                return None

        return wait_for("the service answers", once)

    return ask


@pytest.fixture
def port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


HANDLERS = """\
import signal, sys, threading
done = threading.Event()
def handler(number, frame):
    print("handled", signal.Signals(number).name, flush=True)
    if number != signal.SIGUSR1:
        sys.exit(40 + number)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, handler)
print("ready", flush=True)
done.wait()
"""


def test_the_programs_own_signal_handlers_run_at_once(launcher, wait_for):
    host = launcher.start(["python", "-c", HANDLERS])
    wait_for("the program is ready", lambda: "ready" in host.stdout)
    host.process.send_signal(signal.SIGUSR1)
    wait_for("the handler runs", lambda: "handled SIGUSR1" in host.stdout, 5)
    host.process.send_signal(signal.SIGTERM)
    assert host.wait(5) == 40 + signal.SIGTERM
    assert host.stdout == "ready\nhandled SIGUSR1\nhandled SIGTERM\n"


def test_ctrl_c_ends_a_program_without_handlers_by_the_signal(launcher):
    host = launcher.start(["python", "-c", "import threading; threading.Event().wait()"])
    host.process.send_signal(signal.SIGINT)
    assert host.wait(5) == -signal.SIGINT
    assert host.stderr.startswith("Traceback (most recent call last):")
    assert host.stderr.endswith("KeyboardInterrupt\n")


def test_the_program_reads_what_is_typed_while_it_runs(launcher):
    code = "for line in __import__('sys').stdin: print('got', line, end='', flush=True)"
    host = launcher.start(["python", "-c", code], stdin=subprocess.PIPE)
    host.process.stdin.write(b"one\ntwo\n")
    host.process.stdin.close()
    assert host.wait() == 0
    assert host.stdout == "got one\ngot two\n"


def test_options_after_the_program_are_the_program_s_without_two_dashes_too(launcher, run):
    words = ["python", "-c", "import sys; print(sys.argv)", "-h", "--config", "of-the-program"]
    command = ["python", "-m", "endoscope", "run", "--config", launcher.config(), *words]
    finished = run(command)
    assert finished.stdout == "['-c', '-h', '--config', 'of-the-program']\n"
    mistyped = run([*command[:4], "--confg", *command[5:]])
    assert (mistyped.returncode, mistyped.stdout) == (2, "")
    assert "--confg" in mistyped.stderr


def test_a_program_without_standard_descriptors(launcher, wait_for):
    closing = ["sh", "-c", 'exec "$@" <&- >&-', "sh", "python", "-m", "endoscope", "run"]
    config = launcher.config()
    program = "import sys, time; time.sleep(60 if sys.stdin is sys.stdout is None else 0)"
    words = ["--config", config, "--", "python", "-c", program]
    host = launcher.start(words, wrapper=closing, answering=False)
    section = yaml.safe_load(config.read_text())["plugins"]["experimental_diagnostics"]
    host.port = int(section["listen"].rpartition(":")[2])
    wait_for("diagnostics answer", host.answers)
    assert host.stderr == ""


def test_a_host_that_closes_every_descriptor_still_ends(launcher):
    """Daemons do so: diagnostics are gone then, and the host is not held up."""
    code = "import os, sys; os.closerange(3, 1000); print('closed', flush=True); sys.exit(6)"
    finished = launcher.run(["python", "-c", code], grace_seconds=60)
    assert (finished.returncode, finished.stdout) == (6, "closed\n")
    assert finished.seconds < 20


# --- what cannot be run --------------------------------------------------------------------


def refused(finished, *words):
    """Check that a refusal is one clear message, and return it."""
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr.startswith("endoscope: ")
    assert "Traceback" not in finished.stderr
    for word in words:
        assert word in finished.stderr
    return finished.stderr


def test_a_missing_program_is_refused(launcher):
    refused(launcher.run(["no-such-program-anywhere"]), "no-such-program-anywhere")


def test_a_shell_script_is_refused(launcher, tmp_path):
    script = tmp_path / "start.sh"
    script.write_text("#!/bin/sh\nexec python app.py\n")
    script.chmod(0o755)
    refused(launcher.run([script]), "start.sh", "not a Python program", "endoscope run --")


def test_a_program_that_is_no_python_is_refused(launcher):
    refused(launcher.run(["/bin/ls"]), "/bin/ls", "not a Python program")


@pytest.mark.parametrize("words", [("-IS",), ("-X", "dev", "-S")], ids=" ".join)
def test_python_without_site_is_refused(launcher, words):
    refused(launcher.run(["python", *words, "-c", "print(1)"]), "-S")


def test_a_script_that_asks_for_python_without_site_is_refused(launcher, tmp_path):
    script = tmp_path / "tool"
    script.write_text(f"#!{sys.executable} -S\nprint('ran')\n")
    script.chmod(0o755)
    refused(launcher.run([script]), "-S")


def test_a_python_without_endoscope_is_refused(launcher, run):
    foreign = "/usr/bin/python3"
    if not os.access(foreign, os.X_OK) or run([foreign, "-c", "import endoscope"]).returncode == 0:
        pytest.skip("there is no Python without Endoscope here")
    finished = launcher.run([foreign, "-c", "print(1)"])
    refused(finished, f"{foreign} has no Endoscope", f"{foreign} -m pip install endoscope")


def test_a_script_of_a_python_without_endoscope_is_refused(launcher, run, tmp_path):
    foreign = "/usr/bin/python3"
    if not os.access(foreign, os.X_OK) or run([foreign, "-c", "import endoscope"]).returncode == 0:
        pytest.skip("there is no Python without Endoscope here")
    script = tmp_path / "tool"
    script.write_text(f"#!{foreign}\nprint('ran')\n")
    script.chmod(0o755)
    refused(launcher.run([script]), foreign, "pip install")


def test_a_python_that_does_not_start_is_refused(launcher, tmp_path):
    broken = tmp_path / "python3"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    refused(launcher.run([broken, "-c", "print(1)"]), str(broken))


def test_a_link_to_this_python_is_no_stranger(launcher, tmp_path):
    if shutil.which("ln") is None:
        pytest.skip("there is no ln")
    (tmp_path / "python").symlink_to(sys.executable)
    finished = launcher.run([tmp_path / "python", "-c", "import sys; print(sys.executable)"])
    # A link from elsewhere is another environment to Python; ours is not in it.
    refused(finished, "has no Endoscope")
