"""Fresh environments from real wheels: what each package adds, and what a bad plugin costs."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OURS = ("core", "auth", "profiles", "memory", "export", "process", "python", "report")
ATTACKERS = sorted(p.name for p in (ROOT / "tests" / "example_plugins").iterdir() if p.is_dir())
SERVICE = "import time; time.sleep(60)"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with nothing in it but what was asked for."""

    python: Path
    uv: str

    def install(self, *wheels: Path | str) -> None:
        words = [self.uv, "pip", "install", "--quiet", "--python", self.python, *wheels]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr

    def endoscope(self, *words: str) -> list[str]:
        return [str(self.python), "-m", "endoscope", *words]


@pytest.fixture(scope="session")
def wheels(uv, tmp_path_factory, run):
    """Build a wheel of every package, example and attacker, once."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [*(ROOT / "packages" / name for name in OURS), ROOT / "examples/endoscope-threads"]
    sources += [ROOT / "tests" / "example_plugins" / name for name in ATTACKERS]
    for source in sources:
        built = run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, source], seconds=120)
        assert built.returncode == 0, built.stderr

    def find(*names: str) -> list[Path]:
        found = {wheel.name.partition("-")[0]: wheel for wheel in folder.glob("*.whl")}
        return [found[name] for name in names]

    return find


@pytest.fixture(scope="session")
def make_environment(uv, tmp_path_factory, run):
    def make() -> Environment:
        folder = tmp_path_factory.mktemp("environment") / "venv"
        made = run([uv, "venv", "--quiet", folder], seconds=60)
        assert made.returncode == 0, made.stderr
        return Environment(folder / "bin" / "python", uv)

    return make


def start_in(launcher, environment: Environment, program: str = SERVICE, **settings):
    """Start `python -c program` under the `endoscope run` of an environment."""
    config = launcher.config(**settings)
    wrapper = environment.endoscope("run", "--config", str(config), "--")
    words = [environment.python, "-c", program]
    host = launcher.start(words, wrapper=wrapper, answering=False, stdin=subprocess.PIPE)
    section = yaml.safe_load(config.read_text())["plugins"]["experimental_diagnostics"]
    host.port, host.config = int(section["listen"].rpartition(":")[2]), config
    return host


@pytest.fixture
def serve(launcher, wait_for):
    def start(environment: Environment, program: str = SERVICE, **settings):
        host = start_in(launcher, environment, program, **settings)
        wait_for("an answer", host.answers)
        return host

    return start


@pytest.fixture
def refused(launcher, run):
    def start(environment: Environment):
        words = environment.endoscope("run", "--config", str(launcher.config()), "--")
        return run([*words, str(environment.python), "-c", "print('the program ran')"])

    return start


def paths(host):
    return {route["path"] for route in host.get("")["routes"]}


def archive(host, folder: Path) -> dict[str, bytes]:
    answer = host.ask("GET", "/export")
    assert answer.status == 200
    file = folder / "archive.tar.gz"
    file.write_bytes(answer.body)
    with tarfile.open(file) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def test_each_package_adds_its_own(make_environment, wheels, serve, refused, needs):
    needs("libjemalloc")
    environment = make_environment()
    environment.install(*wheels("endoscope"))
    alone = refused(environment)
    assert (alone.returncode, alone.stdout) == (3, "")
    assert "pip install endoscope-auth" in alone.stderr
    assert "Traceback" not in alone.stderr

    environment.install(*wheels("endoscope_auth"))
    host = serve(environment)
    assert paths(host) == {f"/diagnostics{own}" for own in ("", "/plugins", "/processes")}
    host.stop()

    environment.install(*wheels("endoscope_profiles", "endoscope_memory"))
    host = serve(environment)
    status = host.get("/memory/status")
    assert (status["heap_dumps_available"], status["python_frames"]) == (True, True)
    assert "/diagnostics/export" not in paths(host)
    host.stop()

    environment.install(*wheels("endoscope_export", "endoscope_threads"))
    host = serve(environment)
    assert "/diagnostics/threads/stacks" in paths(host)
    assert host.get("/threads/stacks")
    assert {"memory", "threads"} <= {row["name"] for row in host.get("/plugins")}
    members = archive(host, host.folder)
    manifest = json.loads(members["manifest.json"])
    assert {"memory/status.json", "threads/stacks.txt", "router-binary"} <= set(members)
    assert "threads" in {row["plugin"] for row in manifest["entries"]}
    assert manifest["failures"] == []


def test_reports_need_a_package_of_their_own_and_no_plugin(make_environment, wheels, run):
    environment = make_environment()
    environment.install(*wheels("endoscope"))
    dump = ROOT / "tests" / "profiles" / "data" / "python-3.14-target.prof.gz"
    missing = run(environment.endoscope("report", dump))
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "pip install endoscope-report" in missing.stderr

    environment.install(*wheels("endoscope_profiles", "endoscope_report"))
    shown = run(environment.endoscope("report", dump, "--format", "flamegraph", "--output", "-"))
    assert shown.returncode == 0, shown.stderr
    assert "<html" in shown.stdout
    named = run(environment.endoscope("report", dump, "--native-names"))
    assert named.returncode == 1
    assert "pip install 'endoscope-report[symbols]'" in named.stderr


def test_without_a_compiler_it_installs_and_does_what_it_can(
    make_environment, wheels, serve, uv, run, environment, tmp_path, needs
):
    needs("libjemalloc")
    no_compiler = {**environment, "CC": "/bin/false"}
    # Not in the checkout, where an earlier build may have left what a compiler made.
    source = tmp_path / "source"
    leave_out = shutil.ignore_patterns("build", "*.so", "*.egg-info")
    shutil.copytree(ROOT / "packages" / "memory", source, ignore=leave_out)
    words = [uv, "build", "--wheel", "--out-dir", tmp_path, source]
    built = run(words, seconds=120, environment=no_compiler)
    assert built.returncode == 0, built.stderr
    assert 'building extension "endoscope_memory._native" failed' in built.stderr
    bare = make_environment()
    names = ("endoscope", "endoscope_auth", "endoscope_profiles")
    bare.install(*wheels(*names), *tmp_path.glob("*.whl"))
    host = serve(bare)
    status = host.get("/memory/status")
    assert (status["profiler"], status["python_frames"]) == ("jemalloc", False)
    (problem,) = status["problems"]  # small objects are seen: they come from malloc
    assert "C functions only" in problem["message"]
    assert "apt-get install gcc python3-dev" in problem["remedy"]
    host.post("/memory/start")
    name = host.post("/memory/dump")["name"]
    assert host.ask("GET", f"/memory/dumps/{name}").body.startswith(b"heap_v2/")
    assert host.get("/memory/top")["stacks_in_all"] >= 0


def test_export_without_memory(make_environment, wheels, serve):
    environment = make_environment()
    environment.install(*wheels("endoscope", "endoscope_auth", "endoscope_export"))
    host = serve(environment, memory={"keep_dumps": 3})
    assert not any(path.startswith("/diagnostics/memory") for path in paths(host))
    assert "manifest.json" in archive(host, host.folder)
    assert "pip install endoscope-memory" in host.stderr


def test_a_program_of_another_environment_is_run_by_the_endoscope_in_there(
    make_environment, wheels, launcher, run, tmp_path
):
    environment = make_environment()
    environment.install(*wheels("endoscope", "endoscope_auth"))
    # Of the folder that the user stands in, neither of the two may import anything.
    for name in ("yaml.py", "rich.py", "endoscope/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError('the wrong module')")
    script = tmp_path / "tool"
    code = "import json, sys; print(json.dumps([sys.argv, sys.executable]))"
    script.write_text(f"#!{environment.python}\n{code}\n")
    script.chmod(0o755)
    own = Path(sys.executable).with_name("endoscope")
    words = [own, "run", "--config", launcher.config(), "--", "./tool", "--flag"]
    finished = run(words, cwd=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert json.loads(finished.stdout) == [["./tool", "--flag"], str(environment.python)]


@pytest.fixture(scope="module")
def attacked(make_environment, wheels, module_launcher, wait_for):
    """Run a host with every plugin that breaks a rule beside ours."""
    environment = make_environment()
    names = [f"example_{name}" for name in ATTACKERS]
    ours = ("", "_auth", "_profiles", "_memory", "_export")
    environment.install(*wheels(*(f"endoscope{name}" for name in ours)))
    environment.install(*wheels(*names))
    host = start_in(module_launcher, environment, export={"contributor_seconds": 0.5})
    wait_for("an answer", host.answers)
    return host


@pytest.fixture(scope="module")
def attacked_archive(attacked, tmp_path_factory):
    return archive(attacked, tmp_path_factory.mktemp("attacked"))


BROKEN = {
    "raises_on_import": r"raise|Error",
    "raises_in_hook": r"RuntimeError: raised in routes",
    "unknown_hook": r"did you mean endoscope_archive_members\?",
    "wrong_type": r"returned (str|int) where Route is due",
    "exits": r"SystemExit: 7",
    "exits_in_hook": r"SystemExit",
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_plugin_that_breaks_a_rule_is_named(attacked, name):
    report = {row["name"]: row for row in attacked.get("/plugins")}[name]
    assert any(re.search(BROKEN[name], failure["error"]) for failure in report["failures"])
    assert f"plugin {name}, " in attacked.stderr


@pytest.mark.parametrize("name", [*sorted(BROKEN), "slow"])
def test_the_manifest_names_it_too(attacked_archive, name):
    manifest = json.loads(attacked_archive["manifest.json"])
    assert name in {row["plugin"] for row in manifest["failures"]}
    assert name in attacked_archive["manifest.txt"].decode().partition("Skipped")[2]


def test_the_others_go_on(attacked, attacked_archive):
    assert attacked.get("/good") == {"greeting": "hello bearer"}
    assert attacked.get("/good/to/you") == {"greeting": "hello you"}
    assert attacked.get("/memory/status")["platform"] == "linux"
    assert attacked_archive["good/callable.txt"] == b"good callable\n"
    assert attacked_archive["wrong_type/right.txt"] == b"right\n"


def test_what_hangs_costs_its_own_members_only(attacked_archive):
    manifest = json.loads(attacked_archive["manifest.json"])
    assert attacked_archive["slow/before.txt"] == b"before\n"
    assert "slow/hangs.txt" not in attacked_archive
    rows = {row["name"]: row for row in manifest["plugins"]}
    assert rows["slow"]["timed_out"] is True
    assert rows["good"]["timed_out"] is False
    late = [row for row in manifest["failures"] if row["path"] == "slow/hangs.txt"]
    assert [row["code"] for row in late] == ["timed_out"]


def test_a_handler_s_wrong_answer_is_a_500_without_a_trace(attacked):
    answer = attacked.ask("GET", "/wrong_type/wrong")
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert b"Traceback" not in answer.body


def test_hanging_requests_neither_block_others_nor_the_end(attacked, attacked_archive):
    del attacked_archive  # made first: this test ends the host
    url = f"http://127.0.0.1:{attacked.port}/diagnostics/slow/hang"
    token = base64.b64encode(attacked.secret.encode()).decode()
    words = ["curl", "-s", "-H", f"Authorization: Bearer {token}", url]
    hanging = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(4)]
    time.sleep(0.3)
    assert attacked.get("/good") == {"greeting": "hello bearer"}
    began = time.monotonic()
    os.kill(attacked.pid, signal.SIGTERM)
    assert attacked.wait(10) == -signal.SIGTERM
    assert time.monotonic() - began < 2
    for client in hanging:
        client.wait(10)


def test_a_host_that_ends_by_itself_does_not_wait_for_what_hangs(make_environment, wheels, serve):
    environment = make_environment()
    environment.install(*wheels("endoscope", "endoscope_auth", "endoscope_export", "example_slow"))
    host = serve(environment, "import sys; sys.stdin.read(1); sys.exit(5)")
    client = host.begin_download("/export")
    host.process.stdin.write(b"!")
    host.process.stdin.flush()
    began = time.monotonic()
    assert host.wait(15) == 5
    # The grace period is two seconds: the export in flight gets them, and no more.
    assert time.monotonic() - began < 5
    client.close()
