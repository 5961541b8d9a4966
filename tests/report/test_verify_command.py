import json
import os
import signal
import subprocess
import sys
import time


def test_a_whole_archive(run, whole):
    done = run("verify", str(whole))
    assert (done.returncode, done.stdout) == (0, f"{whole}: whole (4 files, 1.9 kB)\n")


def test_standard_input(run, whole):
    done = run("verify", "-", stdin=whole.read_bytes(), text=False)
    assert (done.returncode, done.stdout) == (0, b"-: whole (4 files, 1.9 kB)\n")


def test_a_line_for_each_problem_says_what_to_do(run, build, tmp_path):
    (tmp_path / "x").write_bytes(build.archive(extra=[("a\x1b[2J", b"1")]))
    done = run("verify", tmp_path / "x")
    assert done.returncode == 1
    warning, problem, verdict = done.stdout.splitlines()
    assert warning.startswith("  warning: a\\u001b[2J: Windows takes no such name. ")
    assert problem.startswith("  damaged: a\\u001b[2J: it is there, and the manifest does not")
    assert problem.endswith("Ask for the archive as the service sent it.")
    assert verdict == f"{tmp_path / 'x'}: damaged (5 files, 1.9 kB)"


def with_a_failure(document):
    document["failures"] = [
        {"plugin": "memory", "path": "memory/x.prof", "code": "too_large", "message": "5 GB"}
    ]
    document["left_out"] = [{"path": "b", "plugin": "export", "group": "binary", "reason": "older"}]


def test_what_the_manifest_tells_is_listed_and_strict_counts_it(run, build, tmp_path):
    (tmp_path / "x").write_bytes(build.archive(change=with_a_failure))
    done = run("verify", tmp_path / "x")
    assert done.returncode == 0
    gaps = "1 failed, 1 not asked for"
    assert done.stdout.splitlines() == [
        "  failed: memory/x.prof: too_large: 5 GB",
        "  left out: b (by older; group binary)",
        f"{tmp_path}/x: whole, but not everything is in it: {gaps} (4 files, 1.9 kB)",
    ]
    assert run("verify", "--strict", tmp_path / "x").returncode == 1


def test_what_was_left_out_is_no_failure_even_if_strict(run, build, tmp_path):
    left_out = [{"path": "b", "plugin": "export", "group": "binary"}]
    (tmp_path / "x").write_bytes(build.archive(left_out=left_out))
    assert run("verify", "--strict", tmp_path / "x").returncode == 0


def test_one_that_is_not_whole_takes_down_no_other(run, whole, tmp_path):
    (tmp_path / "cut.tar.gz").write_bytes(whole.read_bytes()[:-9])
    done = run("verify", tmp_path / "nothing", tmp_path / "cut.tar.gz", whole)
    assert done.returncode == 1
    verdicts = [line for line in done.stdout.splitlines() if line[0] != " "]
    assert [line.rpartition(": ")[2].partition(" (")[0] for line in verdicts] == [
        "unreadable",
        "incomplete",
        "whole",
    ]


def test_json(run, build, whole, tmp_path):
    (tmp_path / "x").write_bytes(build.archive(change=with_a_failure, extra=[("../y", b"")]))
    done = run("verify", "--json", tmp_path / "x", whole)
    assert done.returncode == 1
    unsafe, fine = json.loads(done.stdout)
    assert (unsafe["verdict"], fine["verdict"]) == ("unsafe", "whole")
    (problem,) = unsafe["problems"]
    assert (problem["code"], problem["path"], problem["verdict"]) == (
        "unsafe_path",
        "../y",
        "unsafe",
    )
    assert unsafe["failures"][0]["code"] == "too_large"
    assert unsafe["left_out"][0]["reason"] == "older"


def test_names_are_needed(run):
    assert run("verify").returncode == 2


def test_a_full_disk_is_said(whole):
    command = [sys.executable, "-m", "endoscope", "verify", whole]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=-1, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_it():
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "endoscope", "verify", "-"]
    with subprocess.Popen(command, stdin=reading, stderr=-1) as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=10)[1]
    os.close(reading)
    os.close(writing)
    assert process.returncode == 130
    assert b"Traceback" not in error


def test_what_was_left_out_of_many_processes_alike_is_one_line(run, build, tmp_path):
    left_out = [
        {
            "path": f"processes/{pid}/memory/status.json",
            "plugin": "memory",
            "group": "memory",
            "reason": "group",
            "process": pid,
        }
        for pid in (7, 8, 9)
    ]
    failure = {"plugin": "export", "path": None, "code": "process_failed", "message": "ended"}
    content = build.archive(left_out=left_out, failures=[failure | {"process": 10}])
    (tmp_path / "many.tar.gz").write_bytes(build.gzip(content))
    done = run("verify", tmp_path / "many.tar.gz")
    assert done.returncode == 0
    assert done.stdout.splitlines()[:-1] == [
        "  failed: process 10: process_failed: ended",
        "  left out: memory/status.json of 3 processes (by group; group memory)",
    ]
    assert "1 failed, 3 not asked for" in done.stdout
