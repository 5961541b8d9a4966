"""Limits of an archive: what is cut, what is left out, and that the manifest says so."""

from __future__ import annotations

import os
import random
import re
import time
from datetime import datetime

import pytest

LINES = b"".join(b"line %07d\n" % number for number in range(100_000))  # 1.3 MB
MEBIBYTE = 1 << 20

TEXT_AND_BINARY = """
def members():
    return [member(name, folder / name) for name in ("a.log", "b.prof", "c.log", "d.log")]
"""


@pytest.fixture(scope="module")
def host(archiving):
    """Run a host with a limit for one file."""
    return archiving(export={"max_file_bytes": MEBIBYTE})


def contribute_files(host):
    host.contribute(TEXT_AND_BINARY)
    (host.files / "a.log").write_bytes(LINES)
    (host.files / "b.prof").write_bytes(bytes([1, 0]) * MEBIBYTE)
    (host.files / "c.log").write_bytes(LINES[:1300])
    (host.files / "d.log").write_bytes(b"x" * 2 * MEBIBYTE)


def test_of_text_that_is_too_large_the_last_whole_lines_are_sent(host):
    with host.unharmed():
        contribute_files(host)
        archive = host.archive()
        codes = {"a.log": "truncated", "b.prof": "too_large", "d.log": "truncated"}
        assert archive.failures == {f"faulty/{name}": code for name, code in codes.items()}
        kept = archive.files["faulty/a.log"]
        assert LINES.endswith(kept)
        assert kept.startswith(b"line ")
        assert MEBIBYTE - 14 < len(kept) <= MEBIBYTE
        assert archive.rows["faulty/a.log"]["truncated"] is True
        assert archive.files["faulty/c.log"] == LINES[:1300]
        assert archive.files["faulty/d.log"] == b"x" * MEBIBYTE  # no line begins in it
        assert archive.has_all_sound()


def test_a_secret_that_the_cut_goes_through_is_not_shown(host):
    """The part of the text that is read begins in the middle of a line that is masked."""
    secrets = random.Random(1)  # noqa: S311
    lines = [f"password={secrets.randbytes(450).hex()}\n" for _ in range(3000)]
    with host.unharmed():
        host.contribute("""
            def members():
                return [member("secrets.log", folder / "secrets.log")]
        """)
        (host.files / "secrets.log").write_text("".join(lines))
        kept = host.archive().files["faulty/secrets.log"]
        assert kept.startswith(b"password=********")
        assert set(kept.splitlines()) == {b"password=********"}


def test_an_archive_that_is_full(archiving):
    host = archiving(export={"max_archive_bytes": 2 * MEBIBYTE})
    contribute_files(host)
    archive = host.archive()
    assert archive.files["faulty/a.log"] == LINES
    assert archive.failures == {
        "faulty/b.prof": "too_large",
        "faulty/d.log": "truncated",
        "sound/file.log": "archive_full",
    }
    assert archive.files["faulty/c.log"] == LINES[:1300]
    own = ("manifest.txt", "manifest.json")
    sizes = [len(content) for path, content in archive.files.items() if path not in own]
    assert sum(sizes) <= 2 * MEBIBYTE


def test_an_archive_that_has_taken_its_time(archiving):
    host = archiving(export={"export_seconds": 0.5})
    with host.unharmed():
        host.contribute("""
            def members():
                slow = member("slow", lambda: time.sleep(2) or b"too late")
                return [member("before", lambda: b"made"), slow, member("log", folder / "log")]
        """)
        (host.files / "log").write_bytes(b"not its turn")
        archive = host.archive()
        assert archive.files["faulty/before"] == b"made"
        assert archive.failures == {
            "faulty/slow": "out_of_time",
            "faulty/log": "out_of_time",
            "sound/called.txt": "out_of_time",
            "sound/file.log": "out_of_time",
        }
        assert "0.5 s for all of it" in archive.messages["faulty/log"]


# --- what is asked for ---------------------------------------------------------------------------

AGED = """
def members():
    dumps = [member(f"{age}.prof", folder / f"{age}.prof", "dumps") for age in (10, 100, 1000)]
    return [*dumps, member("made", b"made now", "dumps")]
"""


def contribute_aged(host):
    host.contribute(AGED)
    for age in (10, 100, 1000):
        (host.files / f"{age}.prof").write_bytes(b"%d" % age)
        os.utime(host.files / f"{age}.prof", (time.time() - age,) * 2)


def at(seconds, form):
    return time.strftime(form, time.gmtime(time.time() - seconds))


def test_files_that_are_older_than_asked_for_are_named_and_left_out(host):
    contribute_aged(host)
    times = ("60s", "1m", at(60, "%Y-%m-%dT%H:%M:%SZ"), at(60, "%Y-%m-%dT%H:%M:%S"))
    for since in (*times, f"{time.time() - 60:.3f}"):
        archive = host.archive(f"only=dumps,config&since={since}")
        paths = ["config/router.yaml", "faulty/made", "faulty/10.prof"]
        assert list(archive.files) == [*paths, "manifest.txt", "manifest.json"]
        left_out = [r for r in archive.manifest["left_out"] if r["group"] == "dumps"]
        assert {row["path"] for row in left_out} == {"faulty/100.prof", "faulty/1000.prof"}
        assert {row["reason"] for row in left_out} == {"older"}
        assert archive.failures == {}


def test_groups_that_are_asked_for_and_those_that_are_not(host):
    contribute_aged(host)
    only = host.archive("only=sound,config&without=config")
    assert [path.split("/")[0] for path in only.files] == [
        *["sound"] * 3,
        "manifest.txt",
        "manifest.json",
    ]
    without = host.archive("without=binary,sound,dumps")
    assert list(without.files) == ["config/router.yaml", "manifest.txt", "manifest.json"]
    reasons = {(row["group"], row["reason"]) for row in without.manifest["left_out"]}
    assert reasons == {("binary", "group"), ("sound", "group"), ("dumps", "group")}


REFUSED = {
    "only=nothing": ("unknown_group", "sound"),
    "without=sound,nothing": ("unknown_group", "sound"),
    "only=": ("bad_request", "only=GROUP"),
    "format=zip": ("bad_parameter", "tar.gz"),
    "since=yesterday": ("bad_parameter", "Unix"),
    "since=2999-01-01T00:00:00Z": ("bad_parameter", "12h"),
    "since=-5m": ("bad_parameter", "90s"),
    "preview=2": ("bad_parameter", "1"),
    "groups=sound": ("unknown_parameter", "only"),
    "only=sound&only=config": ("bad_request", "once"),
}


@pytest.mark.parametrize("query", REFUSED)
def test_what_cannot_be_asked_for_is_a_400_with_its_remedy(host, query):
    code, remedy = REFUSED[query]
    with host.unharmed():
        answer = host.ask(query)
        assert (answer.status, answer.json["code"]) == (400, code)
        assert remedy in answer.json["remedy"]


def test_a_group_of_export_s_own_is_known_even_if_the_settings_leave_it_out(archiving):
    """Else a line that somebody has noted down works for some services and not for others."""
    host = archiving(export={"include_binary": False})
    assert host.archive("without=binary").failures == {}


# --- previews ------------------------------------------------------------------------------------


def test_a_preview_lists_what_an_archive_then_has(host):
    with host.unharmed():
        contribute_files(host)
        (host.files / "c.log").write_bytes(b"password=hunter22hunter22\n")
        before = host.descriptors()
        preview = host.ask("without=binary&preview=1").json
        assert host.left() == set()
        archive = host.archive()
        assert not before - host.descriptors()
        own = ("manifest.txt", "manifest.json")
        assert {row["path"]: row["bytes"] for row in preview["members"]} == {
            path: len(content) for path, content in archive.files.items() if path not in own
        }
        assert {row["path"]: row["code"] for row in preview["failures"]} | {
            row["path"]: "truncated" for row in preview["members"] if row["truncated"]
        } == archive.failures
        assert preview["redactions"] == archive.manifest["redactions"] == {"key": 1}
        assert preview["bytes"] == sum(row["bytes"] for row in preview["members"])


def test_a_preview_makes_nothing_that_takes_long(host):
    host.contribute("""
        def members():
            made = folder / "made"
            return [member("slow", lambda: made.write_bytes(b"") or b"", slow=True)]
    """)
    preview = host.ask("preview=1&only=faulty").json
    assert [(row["path"], row["bytes"]) for row in preview["members"]] == [("faulty/slow", None)]
    assert not (host.files / "made").exists()


# --- one at a time -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unlimited(archiving):
    """Run a host with the default settings."""
    return archiving()


@pytest.mark.parametrize("query", ["", "preview=1", "format=tar.zst"])
def test_another_meanwhile_is_a_409_that_says_for_whom_and_since_when(unlimited, query):
    with unlimited.unharmed():
        unlimited.contribute("""
            def members():
                return [member("big", lambda: os.urandom(32 << 20))]
        """)
        with unlimited.download():
            answer = unlimited.ask(query)
        assert (answer.status, answer.json["code"]) == (409, "export_running")
        assert "max_concurrent" in answer.json["remedy"]
        told = re.search(r"for (.+), begun (\S+Z), (\d+) bytes taken", answer.json["error"])
        assert told[1] == "bearer"
        assert abs(since_epoch(told[2]) - time.time()) < 30
        unlimited.wait_for("its turn", lambda: unlimited.ask("only=config").status == 200)


def since_epoch(text):
    return datetime.fromisoformat(text).timestamp()
