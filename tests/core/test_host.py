from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import endoscope
from endoscope import (
    Access,
    ByteStream,
    Json,
    Plugin,
    Problem,
    Route,
    StartError,
    hookimpl,
)
from endoscope.errors import PluginError, SettingsError


class Recording(Plugin):
    """Notes what it is told, and answers as its `answers` say."""

    told: list[str]

    @hookimpl
    def endoscope_start(self):
        self.told.append(f"start {self.context.output_directory.is_dir()}")

    @hookimpl
    def endoscope_stop(self):
        self.told.append("stop")


def recording():
    return type("Recorded", (Recording,), {"told": []})


def problem(severity):
    class Problematic(Plugin):
        @hookimpl
        def endoscope_problems(self, in_host):
            return [Problem(severity, f"told of {severity}, {in_host}", "Mend it.")]

    return Problematic


# --- start and stop -------------------------------------------------------------------------------


def test_nothing_happens_unless_enabled(our_threads, descriptors, tmp_path):
    before = descriptors()
    diagnostics = endoscope.start(settings={"output_directory": str(tmp_path / "output")})
    assert diagnostics.address is None
    assert not diagnostics.wait_until_serving(0)
    diagnostics.stop()
    assert our_threads() == []
    assert descriptors() == before
    assert list(tmp_path.iterdir()) == []


def test_the_import_and_a_disabled_start_take_nothing_heavy_with_them():
    program = (
        "import sys, endoscope; endoscope.start(settings={}); "
        "print(sorted({'quart', 'hypercorn', 'asyncio', 'rich', 'click'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


def test_a_path_or_settings(tmp_path):
    with pytest.raises(TypeError, match="not both"):
        endoscope.start(tmp_path / "x.yaml", settings={})


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        endoscope.start(tmp_path / "x.yaml")


def test_a_file(write, section, install):
    import yaml

    text = yaml.safe_dump({"plugins": {"experimental_diagnostics": section}})
    with (
        pytest.raises(StartError, match="no authenticator"),
        endoscope.start(write(text)),
    ):
        pass


def test_with_stops_at_the_end(serve, section, our_threads, eventually):
    with serve().diagnostics as diagnostics:
        assert diagnostics.address.port > 0
        address = diagnostics.address
    assert diagnostics.address is None
    assert eventually(lambda: our_threads() == [])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port), timeout=5)


def test_an_error_inside_of_with_passes(serve):
    with pytest.raises(KeyError), serve().diagnostics:
        raise KeyError


def test_starting_and_stopping_twice_is_harmless(serve):
    service = serve()
    address = service.address
    service.diagnostics.start()
    assert service.address == address
    service.diagnostics.stop()
    service.diagnostics.stop()
    service.diagnostics.start()
    assert service.diagnostics.wait_until_serving()
    assert service.ask().status == 200


def test_ten_times_leave_no_thread_and_no_descriptor(serve, our_threads, descriptors, eventually):
    service = serve()
    service.ask()
    service.diagnostics.stop()
    assert eventually(lambda: our_threads() == [])
    before = descriptors()
    for _ in range(10):
        service.diagnostics.start()
        assert service.diagnostics.wait_until_serving()
        assert service.ask("/plugins").status == 200
        service.diagnostics.stop()
    assert eventually(lambda: our_threads() == [])
    assert eventually(lambda: len(descriptors()) == len(before)), descriptors() - before


def test_stopping_at_once_leaves_nothing(
    section, install, serve, our_threads, descriptors, eventually
):
    service = serve()
    service.diagnostics.stop()
    assert eventually(lambda: our_threads() == [])
    before = descriptors()
    for _ in range(5):
        service.diagnostics.start()
        service.diagnostics.stop()
    assert eventually(lambda: our_threads() == [])
    assert eventually(lambda: len(descriptors()) == len(before)), descriptors() - before


def test_two_do_not_meet(serve, tmp_path):
    told = recording()
    first = serve({"recorded": told}, service_name="first", output_directory=str(tmp_path / "1"))
    second = serve(
        door=None, service_name="second", output_directory=str(tmp_path / "2"),
    )  # fmt: skip
    assert first.ask().json()["service"] == "first"
    assert second.ask().json()["service"] == "second"
    assert told.told == ["start True", "start True"], "one instance each"
    first.diagnostics.stop()
    assert second.ask().json()["service"] == "second"


def test_two_on_one_port(serve):
    service = serve()
    with pytest.raises(StartError, match="Address already in use") as caught:
        serve(door=None, listen=str(service.address))
    assert caught.value.code == "listen"
    assert service.ask().status == 200


def test_a_start_that_fails_leaves_nothing(serve, our_threads, descriptors, eventually):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = recording()
        before = descriptors()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        for number in range(3):
            with pytest.raises(StartError):
                serve(
                    {f"recorded{number}": told},
                    listen=listen,
                    door=None,
                    allow_unauthenticated=True,
                )
        assert told.told == []
        assert eventually(lambda: our_threads() == [])
        assert descriptors() == before


# --- plugins --------------------------------------------------------------------------------------


def test_plugins_are_started_with_their_directory_and_stopped(serve):
    told = recording()
    service = serve({"recorded": told})
    assert told.told == ["start True"]
    service.diagnostics.stop()
    assert told.told == ["start True", "stop"]


def test_an_error_refuses_the_start_and_a_warning_does_not(serve, caplog):
    with pytest.raises(StartError, match="told of error, True") as caught:
        serve({"bad": problem("error"), "warned": problem("warning")})
    assert "Mend it." in caught.value.remedy
    assert "told of warning, True. Mend it." in caplog.text


def test_information_is_not_logged(serve, caplog):
    serve({"informed": problem("info")})
    assert "told of info" not in caplog.text


@pytest.mark.parametrize("fault", ["load", "absent", "disabled"])
def test_a_required_plugin_that_does_not_work_refuses_the_start(serve, install, installed, fault):
    disabled = list(installed)
    if fault == "load":
        install.value("needed", "os:no_such_name")
    elif fault == "disabled":
        install.value("needed", "os:no_such_name")
        disabled.append("needed")
    with pytest.raises(StartError, match="needed"):
        serve(plugins={"required": ["needed"], "disabled": disabled})
    with pytest.raises(StartError, match="needed"):
        serve(door=None, plugins={"required": ["needed"], "disabled": disabled})


def test_a_broken_plugin_costs_nothing_but_itself(serve, install, caplog):
    install.value("broken", "os:no_such_name")
    service = serve()
    reports = {report["name"]: report for report in service.ask("/plugins").json()}
    assert reports["broken"]["failures"][0]["hook"] == "load"
    assert "plugin broken, load: AttributeError" in caplog.text


def test_strict_plugins_raise(serve, install, our_threads, descriptors, eventually):
    class Failing(Plugin):
        @hookimpl
        def endoscope_start(self):
            raise RuntimeError("boom")

    before = descriptors()
    with pytest.raises(PluginError, match="boom"):
        serve({"failing": Failing}, strict_plugins=True)
    assert eventually(lambda: our_threads() == [])
    assert descriptors() == before


def test_strictness_does_not_keep_it_from_stopping(serve, our_threads, eventually):
    class Failing(Plugin):
        @hookimpl
        def endoscope_stop(self):
            raise RuntimeError("boom")

    service = serve({"failing": Failing}, strict_plugins=True)
    address = service.address
    with pytest.raises(PluginError, match="boom"):
        service.diagnostics.stop()
    assert eventually(lambda: our_threads() == [])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port), timeout=5)
    service.diagnostics.stop()


def test_an_output_directory_that_cannot_be_used(serve, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="file") as caught:
        serve(output_directory=str(tmp_path / "file"))
    assert "output_directory" in caught.value.remedy


def test_a_plugin_s_directory_that_is_a_symbolic_link(serve, tmp_path):
    output = tmp_path / "output"
    output.mkdir(mode=0o700)
    (output / "door").symlink_to(tmp_path)
    with pytest.raises(StartError, match="symbolic link"):
        serve()


# --- stopping in time -----------------------------------------------------------------------------


def endless(_):
    return ByteStream(iter(lambda: b"x" * 100_000, b""), "x")


@pytest.mark.parametrize("grace", [0, 0.5])
def test_a_client_that_stalls_delays_the_stop_by_the_grace_period_only(
    serve, grace, our_threads, eventually, caplog
):
    service = serve(routes=(Route("GET", "/s", endless, Access.READ, ""),), grace_seconds=grace)
    clients = [service.connect() for _ in range(3)]
    for client in clients:
        client.sendall(service.request_line("/diagnostics/probe/s").encode())
        assert client.recv(100)
    began = time.monotonic()
    service.diagnostics.stop()
    assert time.monotonic() - began < grace + 1
    for client in clients:
        client.close()
    assert eventually(lambda: our_threads() == [])
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_a_signal_handler_may_stop_it_once_more(serve):
    service = serve(routes=(Route("GET", "/s", endless, Access.READ, ""),), grace_seconds=1)
    stopped = []

    def handle(_number, _frame):
        service.diagnostics.stop()
        stopped.append(1)

    before = signal.signal(signal.SIGALRM, handle)
    try:
        with service.connect() as client:
            client.sendall(service.request_line("/diagnostics/probe/s").encode())
            assert client.recv(100)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            service.diagnostics.stop()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stopped == [1]


def test_a_request_in_flight_is_answered_within_the_grace_period(serve, eventually):
    entered = threading.Event()

    def slow(_):
        entered.set()
        time.sleep(0.3)
        return Json("done")

    service = serve(routes=(Route("GET", "/s", slow, Access.READ, ""),), grace_seconds=10)
    replies = []
    thread = threading.Thread(target=lambda: replies.append(service.ask("/probe/s")))
    address = service.address
    thread.start()
    assert entered.wait(10)
    began = time.monotonic()
    service.diagnostics.stop()
    assert time.monotonic() - began < 5
    thread.join()
    assert replies[0].json() == "done"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port), timeout=5)


def test_an_idle_connection_delays_nothing(serve):
    service = serve(grace_seconds=20)
    with service.connect() as client:
        client.sendall(service.request_line("/diagnostics", close=False).encode())
        assert client.recv(100)
        silent = service.connect()
        began = time.monotonic()
        service.diagnostics.stop()
        assert time.monotonic() - began < 5
        silent.close()


def test_a_plugin_that_hangs_while_stopping_delays_by_the_grace_period_only(serve):
    gate = threading.Event()

    class Hanging(Plugin):
        @hookimpl
        def endoscope_stop(self):
            gate.wait(30)

    service = serve({f"hanging{n}": Hanging for n in range(3)}, grace_seconds=0.5)
    began = time.monotonic()
    service.diagnostics.stop()
    assert time.monotonic() - began < 2
    gate.set()


def test_a_handler_that_hangs_delays_by_the_grace_period_only(serve, eventually):
    gate, entered = threading.Event(), threading.Event()

    def hang(_):
        entered.set()
        gate.wait(30)
        return Json(1)

    service = serve(routes=(Route("GET", "/s", hang, Access.READ, ""),), grace_seconds=0.2)
    with service.connect() as client:
        client.sendall(service.request_line("/diagnostics/probe/s").encode())
        assert entered.wait(10)
        began = time.monotonic()
        service.diagnostics.stop()
        assert time.monotonic() - began < 1.5
    gate.set()


# --- nothing of the host's ------------------------------------------------------------------------


def test_no_secret_is_in_any_repr(serve):
    service = serve()
    shown = repr(vars(service.diagnostics))
    assert "test-secret-123" not in shown.replace(repr(service.settings), "")


def test_a_stop_by_atexit_is_quick_and_quiet(tmp_path):
    program = f"""
import endoscope, sys, threading
diagnostics = endoscope.start(settings={{
    "enabled": True, "listen": "127.0.0.1:0", "allow_unauthenticated": True,
    "output_directory": {str(tmp_path / "output")!r},
    "plugins": {{"required": [], "disabled": ["auth", "memory", "export", "threads"]}},
}})
if "serve" in sys.argv:
    diagnostics.wait_until_serving()
sys.exit(7)
"""
    for words in ([], ["serve"]):
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, *words],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert result.returncode == 7
        assert "Traceback" not in result.stderr
        assert "Warning" not in result.stderr


def test_the_umask_and_the_directory_stay(serve):
    before = os.umask(0o27)
    try:
        serve()
        assert os.umask(0o27) == 0o27
    finally:
        os.umask(before)
