import csv
import gzip
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from endoscope_profiles import Frame, jemalloc_heap, pprof
from made import dump_of


def report(*words, text=True, **environment):
    """Run the command as a user does."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ENDOSCOPE_")}
    return subprocess.run(
        [sys.executable, "-m", "endoscope", "report", *words],
        env={**clean, **environment},
        capture_output=True,
        text=text,
        timeout=60,
        check=False,
    )


def made(*words):
    done = report(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def functions(text):
    """Return the functions of a table, in its order, with their own bytes."""
    rows = [line.split() for line in text.splitlines() if "/srv/" in line]
    return {row[-2]: " ".join(row[:2]) for row in rows}


def test_a_table_of_one_dump(dumps):
    assert functions(made(dumps[2])) == {"leak": "101.0 kB", "cache": "70.0 kB", "main": "0 B"}


def test_a_difference(dumps):
    assert functions(made(dumps[2], "--diff", dumps[0])) == {"leak": "+100.0 kB", "main": "0 B"}


def test_growth_over_files_and_over_an_archive_are_the_same(dumps, archive):
    text = made("--growth", *dumps)
    assert "1. +100.0 kB ± 0 B, 3.0 MB ± 0 B per hour; grew in 2 of 2 intervals" in text
    assert "cache" not in text
    assert made("--growth", archive()) == text


def test_growth_as_json_and_csv(dumps):
    told = json.loads(made("--growth", *dumps, "-f", "json"))
    assert told["suspects"][0]["growth_bytes"] == 100_000
    rows = [row for row in made("--growth", *dumps, "-f", "csv").splitlines() if row[0] != "#"]
    assert next(csv.DictReader(rows))["growth_bytes"] == "100000"


def test_the_newest_dump_of_an_archive(archive):
    assert functions(made(archive()))["leak"] == "101.0 kB"


def test_options_reach_the_view(dumps):
    assert "main;leak 101000" in made(dumps[2], "-f", "folded", "--focus", "leak")
    assert "cache" not in made(dumps[2], "-f", "folded", "--ignore", "cache")
    assert "/srv/main.py" not in made(dumps[2], "--by", "line", "--hide", "^main")
    assert "All packages of 1 by" in made(dumps[2], "--by", "package")
    assert "by the blocks that they allocated" in made(dumps[2], "--objects")


def test_files_for_other_programs_are_named_after_the_dump(dumps):
    done = report(dumps[2], "-f", "pprof")
    assert (done.returncode, done.stdout) == (0, "")
    name = dumps[2].replace(".prof", ".pb.gz")
    assert done.stderr == f"{name}\n"
    assert pprof.parse(gzip.decompress(pathlib.Path(name).read_bytes())).bytes == 171_000


def test_output_goes_where_it_shall(dumps, tmp_path):
    (tmp_path / "folder").mkdir()
    made(dumps[2], "-f", "flamegraph", "-o", "folder")
    page = tmp_path / "folder" / dumps[2].replace(".prof", ".html")
    assert "<html" in page.read_text()
    made(dumps[2], "-o", "table.txt")
    assert functions((tmp_path / "table.txt").read_text())["leak"] == "101.0 kB"
    done = report(dumps[2], "-f", "pprof", "-o", "-", text=False)
    assert done.stdout[:2] == b"\x1f\x8b"


def test_an_existing_file_is_overwritten_only_if_it_was_named(dumps, tmp_path):
    name = dumps[2].replace(".prof", ".html")
    (tmp_path / name).write_text("mine")
    done = report(dumps[2], "-f", "flamegraph")
    assert (done.returncode, (tmp_path / name).read_text()) == (2, "mine")
    assert "is there already" in done.stderr
    made(dumps[2], "-f", "flamegraph", "-o", name)
    assert "<html" in (tmp_path / name).read_text()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("words", [["-o", "{}"], ["--diff", "{}", "-o", "{}"]])
def test_what_is_being_read_is_not_written_over(dumps, words):
    before = pathlib.Path(dumps[1]).read_bytes()
    done = report(dumps[1], *(word.format(dumps[1]) for word in words))
    assert done.returncode == 2
    assert "is what is being read" in done.stderr
    assert pathlib.Path(dumps[1]).read_bytes() == before


@pytest.mark.parametrize("name", ["--help_9.prof", "-x.prof", "a b\n.prof", ".prof", "x" * 150])
def test_whatever_a_dump_is_called_its_files_have_harmless_names(dumps, tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / name).write_bytes(pathlib.Path(dumps[0]).read_bytes())
    done = report(f"./{name}", "-f", "flamegraph", "-o", "folder")
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "folder").iterdir()
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}\.html", written.name)


def test_a_full_disk_is_said_and_leaves_no_half(dumps):
    done = report(dumps[2], "-o", "/dev/full")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/dev/full cannot be written: No space left on device" in done.stderr
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "endoscope", "report", dumps[2]]
        done = subprocess.run(command, stdout=full, stderr=-1, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_dumps_of_several_processes_are_added_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for pid in ("7", "8"):
        pathlib.Path(f"{pid}.prof").write_bytes(dump_of(pid=pid, leak=1000))
    assert functions(made("7.prof", "8.prof"))["leak"] == "2.0 kB"


@pytest.fixture
def of_many(archive):
    """Write an archive with two dumps of each of four processes, one of which leaks."""
    held = {"7": 1000, "8": 1100, "9": 900_000, "10": 1050}
    members = {
        f"memory/shop_heap_dump_{1000 * round_ + number}.prof": dump_of(
            10 * round_, pid=pid, leak=round_ * leak, cache=70_000
        )
        for round_ in (1, 2)
        for number, (pid, leak) in enumerate(held.items())
    }
    return archive((), **members)


def test_of_an_archive_of_many_processes_the_outlier_and_the_sum_are_shown(of_many):
    table, _, merged = made(of_many).partition("\n\nHeap of shop, 4 processes (pids 7, 8, 9, 10)")
    assert "Process 9 has 970.0 kB live" not in table  # that is its earlier dump
    assert "Process 9 has 1.9 MB live, where its siblings' median is 72.1 kB." in table
    assert "+1.8 MB       0 B  leak /srv/leak.py" in table
    assert functions(merged) == {"leak": "1.8 MB", "cache": "280.0 kB", "main": "0 B"}


def test_what_is_asked_for_comes_alone(of_many):
    assert functions(made(of_many, "-n", "5"))["leak"] == "1.8 MB"
    assert "stands out" not in made(of_many, "-n", "5")
    folded = made(of_many, "-f", "folded", "--by", "process", "--focus", "leak")
    assert "[process 9];main;leak 1800000" in folded
    told = json.loads(made("--outliers", of_many, "-f", "json"))
    assert [each["pid"] for each in told["outliers"]] == [9]
    assert len(told["processes"]) == 4


def test_one_dump_of_an_archive_of_many_is_of_one_process(of_many):
    out = made(f"{of_many}:shop_heap_dump_1000.prof")
    assert functions(out) == {"cache": "70.0 kB", "leak": "1.0 kB", "main": "0 B"}


def test_growth_is_that_of_one_process(of_many):
    told = json.loads(made("--growth", of_many, "-f", "json"))
    assert len(told["dumps"]) == 2


def test_processes_of_one_number_in_two_containers_are_two(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for since in ("2026-11-24T00:00:00Z", "2026-11-24T00:00:01Z"):
        facts = {"service": "shop", "pid": "1", "profiling_since": since}
        records = [((Frame("leak", "/srv/leak.py", 1),), 1, 1000)]
        pathlib.Path(f"{since[-3:]}.prof").write_bytes(
            b"".join(jemalloc_heap.write(records, facts=facts))
        )
    assert functions(made("00Z.prof", "01Z.prof"))["leak"] == "2.0 kB"


def test_dumps_that_do_not_say_whose_they_are_are_added_up_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = [((Frame("leak", "/srv/leak.py", 1),), 1, 1000)]
    for name in "ab":
        pathlib.Path(f"{name}.prof").write_bytes(b"".join(jemalloc_heap.write(records)))
    done = report("a.prof", "b.prof")
    assert functions(done.stdout)["leak"] == "2.0 kB"
    assert "Not all dumps say of which process" in done.stderr


def test_two_dumps_of_one_process_are_not_added_up(dumps):
    done = report(*dumps)
    assert done.returncode == 1
    assert "would count twice" in done.stderr
    assert "--growth" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x.prof", "--focus", "("], "no regular expression"),
        (["x.prof", "-f", "json"], "--growth"),
        (["--growth", "x.prof", "-f", "pprof"], "Give one of"),
        (["--growth", "x.prof", "--diff", "y.prof"], "leave --diff and --outliers out"),
        (["--growth", "x.prof", "--outliers"], "leave --diff and --outliers out"),
        (["--outliers", "x.prof", "--diff", "y.prof"], "leave --diff out"),
        (["--outliers", "x.prof", "-f", "pprof"], "for --growth, for --outliers, or for neither"),
        (["x.prof", "--by", "stack"], "Give one of"),
        (["x.prof", "-n", "0"], "from 1 to"),
        (["x.prof", "-f", "pprof", "--by", "line"], "heeds no by"),
        (["--growth", "x.prof", "--objects"], "heeds no value"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(dumps, words, said):
    done = report(*(dumps[0] if word == "x.prof" else word for word in words))
    assert done.returncode == 2
    assert said in done.stderr


def test_what_is_no_dump_says_where_it_ceases_to_be_one(tmp_path):
    path = tmp_path / "x.prof"
    path.write_bytes(dump_of(leak=1)[:-60])
    done = report(path)
    assert done.returncode == 1
    assert "x.prof: expected" in done.stderr
    assert "line 13" in done.stderr
    assert "cut off" in done.stderr


def test_an_incomplete_archive_is_told(archive):
    done = report(archive(complete=False))
    assert done.returncode == 0
    assert "shop.tar.gz: the archive is incomplete" in done.stderr
    assert "leak" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(dumps):
    command = f"{sys.executable} -m endoscope report {dumps[2]} --by line | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_open_makes_a_flame_graph_and_opens_it(dumps, tmp_path):
    opener = tmp_path / "xdg-open"
    opener.write_text('#!/bin/sh\necho "$1" > opened\n')
    opener.chmod(0o755)
    done = report(dumps[2], "--open", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    name = dumps[2].replace(".prof", ".html")
    assert "<html" in (tmp_path / name).read_text()
    assert (tmp_path / "opened").read_text().strip() == str(tmp_path / name)
