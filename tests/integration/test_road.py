"""The whole road: a leaky service, found out with curl, tar, sha256sum and jeprof."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import jsonschema
import pytest

from endoscope_profiles import jemalloc_heap

SCHEMA = Path(__file__).parents[2] / "docs" / "manifest.schema.json"
VERSION = "2.5.1 (integration)"
INTERVAL = 65536


@pytest.fixture(scope="module")
def leaky(module_launcher, needs, run, wait_for):
    """Run the leaky service with diagnostics inside, profiled under traffic, dumped twice."""
    needs("libjemalloc", "curl", "import flask", "import leaky_service")
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    host = module_launcher.start(
        ["python", "-m", "leaky_service", "--port", str(port)],
        service_name="leaky-service",
        service_version=VERSION,
        memory={"sample_interval_bytes": INTERVAL},
    )
    assert json.loads(host.curl("/memory/start", method="POST").stdout)["status"] == "started"
    words = ["--url", f"http://127.0.0.1:{port}", "--seconds", "1.5", "--rate", "60"]
    traffic = run([sys.executable, "-m", "leaky_service.traffic", *words])
    assert traffic.returncode == 0, traffic.stderr
    for _ in range(2):
        dumped = json.loads(host.curl("/memory/dump", method="POST").stdout)
        assert dumped["status"] == "dumped"
    return host


@pytest.fixture(scope="module")
def unpacked(leaky, tmp_path_factory, run):
    """Download an archive with curl and unpack it with tar, which has nothing to say."""
    folder = tmp_path_factory.mktemp("archive")
    assert leaky.curl("/export", "-OJf", "--output-dir", str(folder)).returncode == 0
    (archive,) = folder.iterdir()
    listed = run(["tar", "-tzf", archive])
    assert (listed.returncode, listed.stderr) == (0, "")
    target = folder / "unpacked"
    target.mkdir()
    done = run(["tar", "-xzf", archive, "-C", target])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return archive, listed.stdout.splitlines(), target


def test_status_says_what_the_contract_promises(leaky):
    status = json.loads(leaky.curl("/memory/status").stdout)
    assert status["status"] == "active"
    assert status["profiling_active"] is True
    assert status["heap_dumps_available"] is True
    assert status["profiler"] == "jemalloc"
    assert status["platform"] == "linux"
    assert status["sample_interval_bytes"] == INTERVAL
    assert status["allocator"]["allocated"] > 1_000_000
    assert [problem for problem in status["problems"] if problem["severity"] != "info"] == []


def test_the_index_lists_every_route_and_each_get_answers(leaky):
    index = leaky.get("")
    assert (index["service"], index["service_version"]) == ("leaky-service", VERSION)
    assert index["pid"] == leaky.pid
    paths = {(route["method"], route["path"]) for route in index["routes"]}
    assert ("GET", "/diagnostics/export") in paths
    assert ("DELETE", "/diagnostics/memory/dumps/{name}") in paths
    target, base = (dump["name"] for dump in leaky.get("/memory/dumps"))
    for method, path in sorted(paths):
        if method == "GET" and "{" not in path and not path.endswith("/export"):
            query = f"?base={base}&target={target}" if path.endswith("/diff") else ""
            assert leaky.ask("GET", path.removeprefix("/diagnostics") + query).status == 200


def test_dumps_lie_where_the_answers_say_and_only_for_their_owner(leaky):
    listed = leaky.get("/memory/dumps")
    assert len(listed) == 2
    folder = leaky.output / "memory"
    assert leaky.output.stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_mode & 0o777 == 0o700
    for row in listed:
        status = (folder / row["name"]).stat()
        assert status.st_mode & 0o777 == 0o600
        assert status.st_size == row["size"]
        assert abs(status.st_mtime - row["timestamp"]) < 2
    assert [row["timestamp"] for row in listed] == sorted(
        (row["timestamp"] for row in listed), reverse=True
    )


def test_a_download_is_the_dump_byte_for_byte_and_resumes(leaky, tmp_path):
    row = leaky.get("/memory/dumps")[0]
    wanted = (leaky.output / "memory" / row["name"]).read_bytes()
    path = f"/memory/dumps/{row['name']}"
    assert leaky.curl(path, "-OJf", "--output-dir", str(tmp_path)).returncode == 0
    assert (tmp_path / row["name"]).read_bytes() == wanted
    partial = tmp_path / "partial"
    partial.write_bytes(wanted[:1000])
    resumed = leaky.curl(path, "-f", "-C", "-", "-o", str(partial), "-w", "%{http_code}")
    assert resumed.stdout == "206"
    assert partial.read_bytes() == wanted


def test_jeprof_names_the_leaks_on_another_machine(leaky, needs, run, tmp_path):
    """Which has neither the program nor its libraries: all it needs is in the file."""
    needs("jeprof")
    (dump, *_) = sorted((leaky.output / "memory").glob("*.prof"))
    text = dump.read_text().replace(os.path.realpath(sys.executable), "/nowhere/python")
    copy = tmp_path / "copy.prof"
    copy.write_text(text.partition("\nMAPPED_LIBRARIES:\n")[0] + "\nMAPPED_LIBRARIES:\n")
    done = run(["jeprof", "--text", "--show_bytes", copy], seconds=100)
    assert done.returncode == 0, done.stderr
    total, *rows = done.stdout.splitlines()
    assert [row.split()[-1] for row in rows[:2]] in (
        ["open_stream", "remember_session.."],
        ["remember_session..", "open_stream"],
    )
    profile = jemalloc_heap.parse(dump.read_bytes())
    assert total == f"Total: {int(profile.bytes)} B"


def test_the_archive_is_named_after_service_and_time(unpacked):
    archive, _, _ = unpacked
    service, _, rest = archive.name.partition("-diagnostics-")
    assert service == "leaky-service"
    assert rest.endswith(".tar.gz")
    assert abs(int(rest.removesuffix(".tar.gz")) - time.time()) < 120


def test_the_archive_holds_dumps_binary_configuration_and_manifests(leaky, unpacked):
    _, listed, target = unpacked
    assert listed[-2:] == ["manifest.txt", "manifest.json"]
    assert len(set(listed)) == len(listed)
    on_disk = {path.name: path.read_bytes() for path in (leaky.output / "memory").glob("*.prof")}
    assert len(on_disk) == 2
    for name, data in on_disk.items():
        assert (target / "memory" / name).read_bytes() == data
    python = Path(os.path.realpath(sys.executable))
    assert (target / "leaky-service-binary").read_bytes() == python.read_bytes()
    status = json.loads((target / "memory" / "status.json").read_text())
    assert status["profiler"] == "jemalloc"
    config = (target / "config" / "leaky-service.yaml").read_text()
    assert "shared_secret: '********'" in config
    assert str(INTERVAL) in config


def test_every_members_header_is_bare(unpacked):
    archive, listed, _ = unpacked
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == listed
    assert {(m.mode, m.uid, m.gid, m.uname, m.gname, m.type) for m in members} == {
        (0o644, 0, 0, "", "", tarfile.REGTYPE)
    }


def test_sha256sum_agrees_with_the_manifest(leaky, unpacked, run):
    _, listed, target = unpacked
    manifest = json.loads((target / "manifest.json").read_text())
    jsonschema.validate(manifest, json.loads(SCHEMA.read_text()))
    assert manifest["complete"] is True
    rows = {row["path"]: row for row in manifest["members"]}
    assert set(rows) == set(listed) - {"manifest.json"}
    sums = "".join(f"{row['sha256']}  {path}\n" for path, row in rows.items())
    checked = run(["sha256sum", "--strict", "--quiet", "-c", "-"], cwd=target, stdin=sums.encode())
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert all((target / path).stat().st_size == row["bytes"] for path, row in rows.items())
    assert manifest["failures"] == []
    assert leaky.secret not in json.dumps(manifest)


def test_the_text_manifest_tells_a_person_the_same(unpacked):
    _, _, target = unpacked
    text = (target / "manifest.txt").read_text()
    manifest = json.loads((target / "manifest.json").read_text())
    assert VERSION in text
    for row in manifest["members"]:
        if row["path"] != "manifest.txt":
            assert row["path"] in text
            assert row["sha256"] in text


def test_only_and_without_choose_members(leaky, tmp_path, run):
    for query, gone in (("?only=config", "memory/"), ("?without=binary,memory", "memory/")):
        archive = tmp_path / "chosen.tar.gz"
        assert leaky.curl(f"/export{query}", "-sf", "-o", str(archive)).returncode == 0
        listed = run(["tar", "-tzf", archive]).stdout
        assert "config/leaky-service.yaml" in listed
        assert gone not in listed
        assert "-binary" not in listed
    refused = leaky.ask("GET", "/export?only=nonsense")
    assert refused.status == 400
    assert "nonsense" in refused.json["error"]


def test_the_command_line_walks_the_same_road(leaky, tmp_path):
    status = leaky.cli("status", "--json")
    assert json.loads(status.stdout)["profiler"] == "jemalloc"
    assert leaky.cli("stop").stdout == "Memory profiling deactivated\n"
    assert leaky.get("/memory/status")["status"] == "inactive"
    assert leaky.cli("start").stdout == "Memory profiling activated\n"
    listed = json.loads(leaky.cli("dumps", "--json").stdout)
    downloaded = json.loads(leaky.cli("download", "--json", cwd=tmp_path).stdout)
    assert (tmp_path / downloaded["path"]).name == listed[0]["name"]
    on_disk = leaky.output / "memory" / listed[0]["name"]
    assert (tmp_path / downloaded["path"]).read_bytes() == on_disk.read_bytes()
    preview = leaky.cli("export", "--preview", "--without", "binary")
    assert preview.returncode == 0
    assert "memory/status.json" in preview.stdout
    assert "left out: leaky-service-binary (group binary)" in preview.stdout
    exported = leaky.cli("export", "-o", str(tmp_path), "--without", "binary")
    assert exported.returncode == 0
    assert exported.stderr == ""
    with tarfile.open(exported.stdout.rpartition(" (")[0]) as tar:
        assert tar.getnames()[-1] == "manifest.json"
    plugins = json.loads(leaky.cli("plugins", "--json").stdout)
    assert {"auth", "export", "memory"} <= {row["name"] for row in plugins}
    assert [row["failures"] for row in plugins if row["failures"]] == []


def test_the_command_line_says_what_is_wrong_and_what_to_do(leaky, run, tmp_path):
    command = [sys.executable, "-m", "endoscope", "status"]
    url = f"http://127.0.0.1:{leaky.port}"
    refusals = [
        run([*command, "--url", url, "--secret", "wrong"]),
        run([*command, "--url", "http://127.0.0.1:1"]),
        run([*command, "--url", "nonsense"]),
        run([*command, "--config", tmp_path / "nowhere.yaml"]),
        leaky.cli("download", "router_heap_dump_1.prof"),
        leaky.cli("export", "--only", "nonsense"),
        leaky.cli("export", "-o", "/no/such/folder/archive.tar.gz"),
    ]
    for refusal in refusals:
        assert refusal.returncode in (1, 2)
        assert refusal.stdout == ""
        assert refusal.stderr.startswith("endoscope: ")
        assert len(refusal.stderr.splitlines()) == 2
        assert "Traceback" not in refusal.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_cut_download_leaves_nothing_behind(launcher, tmp_path):
    """The service dies in the middle: no file is taken for a whole one."""
    code = (
        "import os, threading, time, endoscope\n"
        "threading.Timer(60, os._exit, [1]).start()\n"
        "time.sleep(60)\n"
    )
    host = launcher.start(["python", "-c", code])
    big = host.output / "memory" / "router_heap_dump_1.prof"
    with big.open("wb") as file:
        file.truncate(8 * 1024**3)
    command = [sys.executable, "-m", "endoscope", "download", "--config", str(host.config)]
    client = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    try:
        while not list(tmp_path.glob(".*.part")) and client.poll() is None:
            time.sleep(0.02)
        host.process.kill()
        _, stderr = client.communicate(timeout=30)
    finally:
        client.kill()
    assert client.returncode == 1
    assert b"broke off" in stderr or b"reset" in stderr
    assert b"Traceback" not in stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "hosts"]


def test_dumps_are_deleted_one_by_one_and_all(leaky):
    """Last in this file: the other tests look at these dumps."""
    first, second = (row["name"] for row in leaky.get("/memory/dumps"))
    deleted = leaky.ask("DELETE", f"/memory/dumps/{first}")
    assert (deleted.status, deleted.json["status"]) == (200, "deleted")
    assert leaky.ask("DELETE", f"/memory/dumps/{first}").status == 404
    assert [row["name"] for row in leaky.get("/memory/dumps")] == [second]
    cleared = leaky.ask("DELETE", "/memory/dumps")
    assert (cleared.json["status"], cleared.json["deleted_count"]) == ("cleared", 1)
    assert list((leaky.output / "memory").iterdir()) == []
