from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from click.testing import CliRunner

from endoscope import (
    Access,
    ByteStream,
    FileContent,
    Json,
    NotSupportedError,
    Parameter,
    Plugin,
    ProcessFact,
    Reach,
    Route,
    Text,
    cli,
    hookimpl,
)

SECRET = "test-secret-123"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process; return its exit status, output and errors."""

    def call(*words, **environment):
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["endoscope", *words])
            patched.setenv("COLUMNS", "200")
            for name, value in environment.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as caught:
                cli.main()
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    return call


STATUS = {
    "profiling_active": True,
    "status": "active",
    "platform": "linux",
    "profiler": None,
    "note": "[/odd] markup",
    "active_since": None,
    "sample_interval_bytes": 524288,
    "cost": {"samples_taken": 12345},
    "allocator": {"allocated": 86_100_000, "resident": 999},
    "problems": [{"severity": "warning", "message": "[red]x[/]", "remedy": "Do [/this]."}],
}
TOP = {
    "profiler": "jemalloc",
    "sees": "everything",
    "profiling_since": "2026-11-24T00:19:53Z",
    "sample_interval_bytes": 524288,
    "live_bytes": 20_000_000,
    "live_bytes_error": 3_000_000,
    "resident_bytes": 100_000_000,
    "coverage": 0.2,
    "stacks_in_all": 42,
    "stacks": [
        {
            "bytes": 10_000_000,
            "bytes_error": 2_000_000,
            "objects": 5,
            "objects_error": 1,
            "share": 0.5,
            "frames": [{"function": "leak[0]", "file": "/srv/app.py", "line": 7}],
        }
    ],
    "notes": [],
}
DUMPS = [
    {
        "name": "b.prof",
        "size": 57673,
        "timestamp": 1,
        "created": "2026-11-24T00:19:53Z",
        "pid": 4711,
    }
]


def dump(_request):
    return Json(
        {
            "message": "Heap dump generated",
            "dump_path": f"/x/{os.getpid()}.prof",
            "size": 57673,
            "notes": ["none missing"],
        }
    )


def top(request):
    live = {"live_bytes": os.getpid()}
    return Json({**TOP, **live, "asked": request.query["limit"]})


def outliers(request):
    return Text(f"{sorted(request.query.items())}\n")


class Export(Plugin):
    @hookimpl
    def endoscope_routes(self):
        def export(request):
            which = "all" if request.every_process else os.getpid()
            return ByteStream(iter([f"of {which}".encode()]), "archive.tar.gz")

        return [Route("GET", "", export, Access.READ, "", reach=Reach.GATHERED)]


@pytest.fixture
def memory(serve, tmp_path):
    """Serve routes like those of memory, with what a test wants."""
    content = tmp_path / "content"
    content.write_bytes(b"x" * 1000)
    refusing = tmp_path / "refusing"
    listed = list(DUMPS)
    parent = os.getpid()

    def download(request):
        return FileContent(content.open("rb"), 1000, request.path_parameters["name"])

    def act(request):
        if refusing.exists() and os.getpid() != parent:
            raise NotSupportedError("no profiler works here", remedy="Install one.")
        wish = f" with {request.body.decode()}" if request.body else ""
        return Json({"message": f"did {request.path.rsplit('/', 1)[-1]}{wish}"})

    def route(method, path, handler):
        return Route(method, path, handler, Access.ACT, "")

    class Memory(Plugin):
        @hookimpl
        def endoscope_routes(self):
            return [
                route("GET", "/status", lambda _: Json(STATUS)),
                Route("GET", "/top", top, Access.READ, "", (Parameter("limit", ""),)),
                route("POST", "/start", act),
                route("POST", "/stop", act),
                route("POST", "/dump", dump),
                route("GET", "/dumps", lambda _: Json(listed)),
                route("GET", "/dumps/{name}", download),
                Route(
                    "GET",
                    "/outliers",
                    outliers,
                    Access.READ,
                    "",
                    tuple(Parameter(name, "") for name in ("format", "by", "limit", "within")),
                    reach=Reach.SERVICE,
                ),
            ]

        @hookimpl
        def endoscope_process_facts(self):
            return [ProcessFact("live_bytes", 57673), ProcessFact("profiling", "active")]

    service = serve({"memory-double": Memory, "export-double": Export})
    service.listed = listed
    service.refusing = refusing
    return service


@pytest.fixture
def asked(run, memory, monkeypatch):
    """Run a client command against `memory`, as the memory plugin is asked."""
    from endoscope import client

    original = client.Client._response

    def redirected(self, method, path, *rest):
        path = path.replace("/memory/", "/memory-double/").replace("/export", "/export-double")
        return original(self, method, path, *rest)

    monkeypatch.setattr(client.Client, "_response", redirected)

    def call(*words):
        return run(*words, ENDOSCOPE_URL=f"http://{memory.address}", ENDOSCOPE_SECRET=SECRET)

    return call


def test_status_for_a_person(asked):
    status, out, err = asked("status")
    assert (status, err) == (0, "")
    assert "86.1 MB" in out
    assert "999 B" in out
    assert "[/odd] markup" in out
    assert "[red]x[/]" in out
    assert "Do [/this]." in out


def test_status_for_a_script(asked):
    status, out, _ = asked("status", "--json")
    assert (status, json.loads(out)) == (0, STATUS)


def test_start_and_stop(asked):
    wish = 'with {"sample_interval_bytes": null, "discard": false}'
    assert asked("start") == (0, f"did start {wish}\n", "")
    assert asked("stop") == (0, "did stop\n", "")
    assert json.loads(asked("stop", "--json")[1]) == {"message": "did stop"}


def test_start_with_another_interval(asked):
    wish = 'with {"sample_interval_bytes": 65536, "discard": true}'
    out = asked("start", "--interval", "65536", "--discard")[1]
    assert out == f"did start {wish}\n"


def test_top_for_a_person(asked):
    status, out, err = asked("top", "-n", "1")
    assert (status, err) == (0, "")
    assert "10.0 MB ± 2.0 MB in 5 ± 1 blocks" in out
    assert "leak[0]  /srv/app.py:7" in out
    assert "... and 41 smaller stacks" in out


def test_top_for_a_script(asked):
    said = {**TOP, "live_bytes": os.getpid(), "asked": "1"}
    assert json.loads(asked("top", "--json", "-n", "1")[1]) == said


def test_dump_and_dumps(asked, memory):
    out = asked("dump")[1]
    assert out == f"Heap dump generated: /x/{os.getpid()}.prof (57.7 kB)\n  none missing\n"
    assert asked("dumps")[1].split("\n")[1].split() == [
        "b.prof",
        "57.7",
        "kB",
        "2026-11-24T00:19:53Z",
        "4711",
    ]
    assert json.loads(asked("dumps", "--json")[1]) == DUMPS
    memory.listed.clear()
    assert asked("dumps")[:2] == (0, "no dumps\n")


def test_download(asked, memory, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert asked("download") == (0, "b.prof (1.0 kB)\n", "")
    status, out, _ = asked("download", "c.prof", "-o", "own", "--json")
    assert (status, json.loads(out)) == (0, {"path": "own", "size": 1000})
    assert sorted(os.listdir(folder)) == ["b.prof", "own"]
    memory.listed.clear()
    status, out, err = asked("download")
    assert (status, out) == (1, "")
    assert "there is no heap dump" in err


def test_plugins(asked):
    status, out, _ = asked("plugins")
    assert status == 0
    assert "example-memory-double" in out
    rows = json.loads(asked("plugins", "--json")[1])
    assert {"door", "memory-double"} <= {row["name"] for row in rows}


def test_an_error_is_one_message_with_its_remedy(asked):
    status, out, err = asked("status", "--process", "1")
    assert (status, out) == (1, "")
    assert err == (
        "endoscope: this service has no process 1\n"
        "  GET /diagnostics/processes lists those there are.\n"
    )


# --- several processes ----------------------------------------------------------------------------


def fork_idle():
    pid = os.fork()
    if pid == 0:
        time.sleep(120)
        os._exit(0)
    return pid


@pytest.fixture
def pids(memory, eventually):
    """Let the service have two more processes; return the ids of all, this one's first."""
    forked = [fork_idle(), fork_idle()]
    try:
        assert eventually(lambda: len(memory.ask("/processes").json()) == 3)
        yield [os.getpid(), *forked]
    finally:
        for pid in forked:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_the_processes_of_a_service(asked, pids):
    status, out, err = asked("processes")
    assert (status, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == [
        *("pid", "role", "parent", "up", "resident", "times", "live", "profiling", "state")
    ]
    assert [int(row.split()[0]) for row in rows] == [pids[0], *sorted(pids[1:])]
    assert [row.split()[1] for row in rows] == ["door", "member", "member"]
    assert all("57.7 kB  active" in row for row in rows)
    told = json.loads(asked("processes", "--json")[1])
    assert {row["pid"] for row in told} == set(pids)


def test_all_are_asked_if_there_are_several(asked, pids):
    assert asked("stop")[1].splitlines() == [f"{pid}  did stop" for pid in sorted(pids)]
    assert asked("stop", "--process", "all") == asked("stop")
    collected = json.loads(asked("stop", "--json")[1])["processes"]
    assert [row["pid"] for row in collected] == sorted(pids)


def test_one_is_asked_and_answers_as_if_it_were_alone(asked, pids):
    assert asked("stop", "--process", str(pids[1])) == (0, "did stop\n", "")
    out = asked("dump", "--process", str(pids[1]))[1]
    assert out.startswith(f"Heap dump generated: /x/{pids[1]}.prof (57.7 kB)\n")


def test_all_of_one_process(asked):
    out = asked("stop", "--process", "all")[1]
    assert out == f"{os.getpid()}  did stop\n"


def test_those_that_fail_are_told_and_the_others_answer(asked, memory, pids):
    memory.refusing.touch()
    status, out, err = asked("start")
    assert (status, out.split()[0]) == (1, str(pids[0]))
    assert len(out.splitlines()) == 1
    failed = ", ".join(map(str, sorted(pids[1:])))
    assert err == f"{failed}  failed: no profiler works here\n  Install one.\n"
    status, out, err = asked("start", "--json")
    assert (status, err) == (1, "")
    assert sorted(row["status"] for row in json.loads(out)["processes"]) == [200, 501, 501]


def test_a_dump_of_each(asked, pids):
    lines = asked("dump")[1].splitlines()
    assert lines[::2] == [
        f"{pid}  Heap dump generated: /x/{pid}.prof (57.7 kB)" for pid in sorted(pids)
    ]
    assert {line.strip() for line in lines[1::2]} == {"none missing"}


def test_the_state_of_each(asked, pids):
    head, *rows = asked("status")[1].splitlines()
    assert head.split()[:3] == ["pid", "status", "profiler"]
    assert [row.split()[:2] for row in rows[:3]] == [[str(pid), "active"] for pid in sorted(pids)]
    assert "12345    86.1 MB" in rows[0]
    assert sum("[red]x[/]" in row for row in rows) == 1, "a problem that all have is told once"


def test_what_each_holds_and_the_stacks_of_the_first(asked, pids):
    out = asked("top", "--process", "all")[1]
    rows = out.split("\n\n")[0].splitlines()[1:]
    assert [int(row.split()[0]) for row in rows] == sorted(pids, reverse=True)
    assert all("50%" in row and "leak[0]  /srv/app.py:7" in row for row in rows)
    assert f"\nprocess {max(pids)}, which holds the most:\n" in out
    assert "10.0 MB ± 2.0 MB in 5 ± 1 blocks" in out


def test_the_stacks_of_the_largest_if_nobody_says_whose(asked, pids):
    status, out, err = asked("top", "--json")
    assert (status, json.loads(out)["live_bytes"]) == (0, pids[0]), "the one that ran all tests"
    assert err.startswith(f"process {pids[0]}, the largest of 3: ")
    status, out, err = asked("top", "--json", "--process", str(pids[1]))
    assert (json.loads(out)["live_bytes"], err) == (pids[1], "")


def test_an_archive_of_all_or_of_one(asked, pids, tmp_path):
    target = tmp_path / "archive"
    assert asked("export", "-o", str(target))[0] == 0
    assert target.read_text() == "of all"
    assert asked("export", "-o", str(target), "--process", str(pids[2]))[0] == 0
    assert target.read_text() == f"of {pids[2]}"


def test_an_archive_of_the_only_process(asked, tmp_path):
    target = tmp_path / "archive"
    assert asked("export", "-o", str(target))[0] == 0
    assert target.read_text() == f"of {os.getpid()}"


def test_outliers_are_the_service_s_to_find(asked):
    assert asked("outliers") == (0, "[('format', 'text')]\n", "")
    out = asked("outliers", "--by", "stack", "-n", "3", "--within", "60", "--json")[1]
    asked_for = [("by", "stack"), ("format", "json"), ("limit", "3"), ("within", "60")]
    assert out == f"{asked_for}\n"


# --- which service --------------------------------------------------------------------------------


def test_the_service_s_own_configuration(run, memory, write):
    values = {"listen": str(memory.address), "shared_secret": SECRET}
    path = write(yaml.safe_dump({"experimental_diagnostics": values}))
    assert run("plugins", "--config", str(path))[0] == 0
    assert run("plugins", ENDOSCOPE_CONFIG=str(path))[0] == 0


def test_a_secret_file(run, memory, tmp_path):
    url = f"http://{memory.address}"
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    assert run("plugins", "--url", url, "--secret-file", str(file))[0] == 0
    file.write_bytes(b"\xff\xfe")
    status, _, err = run("plugins", "--url", url, "--secret-file", str(file))
    assert (status, "it is not UTF-8" in err) == (1, True)
    status, _, err = run("plugins", "--url", url, "--secret-file", "/no/such")
    assert (status, "No such file" in err) == (1, True)


def test_a_wrong_secret_is_not_repeated(run, memory):
    status, out, err = run(
        "plugins", "--url", f"http://{memory.address}", "--secret", "hunter2-hunter2"
    )
    assert status == 1
    assert "valid credentials are needed" in err
    assert "hunter2" not in out + err


@pytest.mark.parametrize(
    "words", [["no-such-command"], ["status", "--no-such-option"], ["run"], ["export", "x"]]
)
def test_what_nobody_can_mean(run, words):
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert "Usage:" in err or "Error" in err


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["run", "--help"], ["--version"]])
def test_help_and_version(run, words):
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    assert out


def test_every_command_says_what_it_does():
    for name, command in cli.commands.commands.items():
        assert command.help, name
        assert CliRunner().invoke(cli.commands, [name, "--help"]).exit_code == 0


# --- doctor and run -------------------------------------------------------------------------------


def test_doctor_ends_with_1_if_something_is_missing(run, write, section):
    path = write(yaml.safe_dump({"experimental_diagnostics": section}))
    status, out, err = run("doctor", "--config", str(path))
    assert (status, err) == (1, "")
    assert "no authenticator is installed" in out
    status, out, _ = run("doctor", "--config", str(path), "--json")
    assert status == 1
    assert "error" in {problem["severity"] for problem in json.loads(out)}


def test_doctor_ends_with_0_if_nothing_is(run, write, section):
    path = write(
        yaml.safe_dump({"experimental_diagnostics": {**section, "allow_unauthenticated": True}})
    )
    status, out, _ = run("doctor", "--config", str(path))
    assert status == 0
    assert "the configuration is valid" in out


def test_doctor_shows_brackets_as_they_are(run, write, section):
    values = {**section, "allow_unauthenticated": True, "[/x]": {"a": 1}, "listen": "[::1]:0"}
    path = write(yaml.safe_dump({"experimental_diagnostics": values}))
    status, out, err = run("doctor", "--config", str(path))
    assert (status, err) == (0, "")
    assert "[/x]" in out
    assert "[::1]:0 is free" in out


def test_mistakes_end_with_2(run, write, section):
    values = {**section, "listen": "x", "grace_seconds": -1}
    path = write(yaml.safe_dump({"experimental_diagnostics": values}))
    status, out, err = run("run", "--config", str(path), "--", sys.executable, "-c", "print(1)")
    assert (status, out) == (2, "")
    assert err.startswith("endoscope: 2 mistakes in the settings:\n")
    assert "Traceback" not in err


def test_run_without_diagnostics_is_the_program(tmp_path):
    program = "import sys; print(sys.argv); sys.exit(5)"
    result = subprocess.run(
        [sys.executable, "-m", "endoscope", "run", sys.executable, "-c", program, "--config", "-x"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (5, "")
    assert result.stdout == "['-c', '--config', '-x']\n"


def test_run_what_does_not_exist(run):
    status, out, err = run("run", "--", "no-such-program")
    assert (status, out) == (2, "")
    assert "no-such-program: no such program" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(run, shell):
    status, out, _ = run("completion", shell)
    assert status == 0
    assert f"_ENDOSCOPE_COMPLETE={shell}_complete" in out


def test_bash_completes_commands_and_options(tmp_path):
    script = """
eval "$(endoscope completion bash)"
COMP_WORDS=(endoscope "$@") COMP_CWORD=$#
_endoscope_completion endoscope
printf '%s\\n' "${COMPREPLY[@]}"
"""

    def complete(*words):
        path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script, "bash", *words],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.split()

    assert complete("sta") == ["start", "status"]
    assert "--discard" in complete("start", "--")
