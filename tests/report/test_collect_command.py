import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import endoscope


def index_of(folder):
    return json.loads((folder / "index.json").read_text())


def test_archives_of_several_services(run, service, tmp_path):
    urls = [service("whole").url for _ in range(3)]
    done = run("collect", *urls, "-o", tmp_path / "new" / "out", "--without", "binary")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'new' / 'out'}: 3 of 3 archives, see index.txt there\n"
    assert sorted(line.partition(": ")[0] for line in done.stderr.splitlines()) == sorted(urls)
    told = index_of(tmp_path / "new" / "out")
    assert told["asked_for"] == {"without": "binary"}
    assert [row["target"] for row in told["targets"]] == urls
    assert (tmp_path / "new" / "out").stat().st_mode & 0o777 == 0o700


def test_one_that_fails_is_a_row_and_the_exit_status(run, service, tmp_path):
    fine, refused = service("whole"), service("unauthorized")
    done = run("collect", fine.url, refused.url, "-o", tmp_path, "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told == index_of(tmp_path)
    assert [row["error"] for row in told["targets"]] == [None, "it is unauthorized"]


def test_urls_out_of_a_file_each_once_and_no_password_anywhere(run, service, tmp_path):
    shop = service("whole")
    listed = f"# shops\n\nhttp://user:hunter2@127.0.0.1:{shop.server_port}\n{shop.url}/\n"
    done = run("collect", "--from", "-", "-o", tmp_path, "--secret", "hunter3", stdin=listed)
    assert done.returncode == 0, done.stderr
    assert "it is named twice, and fetched once" in done.stderr
    assert "user and password in its URL are not used" in done.stderr
    assert len(shop.asked) == 1
    written = "".join(path.read_text() for path in tmp_path.glob("index.*"))
    assert "hunter" not in written + done.stdout + done.stderr


def test_options_are_passed_on(run, service, tmp_path):
    shop = service("whole")
    words = ["--only", "memory", "--since", "2026-11-24T00:00:00Z", "--format", "tar.zst"]
    run("collect", shop.url, "-o", tmp_path, *words)
    assert shop.asked[0][0] == (
        "/diagnostics/export?only=memory&since=2026-11-24T00%3A00%3A00Z&format=tar.zst"
    )


def test_a_service_that_stalls_is_given_up(run, service, tmp_path):
    words = ["--timeout", "0.5", "--retries", "0"]
    done = run("collect", service("stalls_midway").url, "-o", tmp_path, *words)
    assert done.returncode == 1
    assert "timed out" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["index.json", "index.txt"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-o", "{}/out"], 2, "Name a service"),
        (["a:1"], 2, "--output"),
        (["a:1", "-o", "{}/file/out"], 1, "cannot be made"),
        (["a:1", "-o", "{}/out", "--at-most", "0"], 2, "at-most"),
        (["--from", "{}/nothing", "-o", "{}/out"], 2, "No such file"),
        (["a:1", "-o", "{}/out", "--secret-file", "{}/nothing"], 1, "cannot be read"),
    ],
)
def test_what_cannot_be_meant(run, tmp_path, words, code, said):
    (tmp_path / "file").write_text("")
    done = run("collect", *(word.format(tmp_path) for word in words))
    assert done.returncode == code
    assert said in done.stderr


def test_ctrl_c_writes_the_index_of_what_came(service, tmp_path):
    came, stalled = service("whole"), service("stalls_midway")
    command = [sys.executable, "-m", "endoscope", "collect", came.url, stalled.url, "-o", tmp_path]
    with subprocess.Popen(command, stderr=-1, stdout=-1, text=True) as process:
        end = time.monotonic() + 20
        while len([each for each in os.listdir(tmp_path) if ".tar.gz" in each]) < 2:
            assert time.monotonic() < end
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert time.monotonic() - began < 5
    assert "1 of 2 archives" in out
    assert "Traceback" not in err
    errors = [row["error"] for row in index_of(tmp_path)["targets"]]
    assert errors == [None, "it was stopped"]
    assert not list(tmp_path.glob(".*"))


def test_real_services(run, tmp_path):
    pytest.importorskip("endoscope_export")
    started = [
        endoscope.start(
            settings={
                "enabled": True,
                "listen": "127.0.0.1:0",
                "service_name": name,
                "shared_secret": f"secret-of-{name}",
                "output_directory": str(tmp_path / name),
                "plugins": {"disabled": ["memory"]},
            }
        )
        for name in ("shop", "router")
    ]
    (tmp_path / "own").write_text("secret-of-router\n")
    lines = f"{started[0].address}\nhttp://{started[1].address} secret-file={tmp_path / 'own'}\n"
    try:
        done = run(
            "collect",
            *("--from", "-", "-o", tmp_path / "out"),
            stdin=lines,
            ENDOSCOPE_SECRET="secret-of-shop",
        )
    finally:
        for each in started:
            each.stop()
    assert done.returncode == 0, done.stderr
    rows = index_of(tmp_path / "out")["targets"]
    assert [row["service_name"] for row in rows] == ["shop", "router"]
    assert {row["pid"] for row in rows} == {os.getpid()}
    paths = [str(tmp_path / "out" / row["path"]) for row in rows]
    assert run("verify", *paths).returncode == 0
    assert "secret-of" not in "".join(p.read_text() for p in Path(tmp_path / "out").glob("index.*"))
