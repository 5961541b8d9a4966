"""Whole archives, from what plugins contribute to the bytes that a client unpacks."""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import tarfile
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest

from endoscope import ArchiveMember, ManifestEntry, PluginFailure
from endoscope_export import archive, manifest
from endoscope_export.tar_stream import FIXED_TIME


def failures(document, *columns):
    return [tuple(row[column] for column in columns) for row in document["failures"]]


def add(core, plugin, *members):
    core.contributed[plugin] = [
        ArchiveMember(path, source, group=plugin) for path, source in members
    ]


def test_everything_contributed_is_there_and_the_manifests_are_last(export, core, tmp_path):
    (tmp_path / "a.prof").write_bytes(b"heap" * 1000)
    add(core, "memory", ("a.prof", tmp_path / "a.prof"), ("status.json", lambda: b"{}"))
    add(core, "threads", ("stacks.txt", b"main"))
    files = export.unpacked()
    assert list(files) == [
        "config/router.yaml",
        "threads/stacks.txt",
        "memory/status.json",
        "memory/a.prof",
        "manifest.txt",
        "manifest.json",
    ]
    assert files["memory/a.prof"] == b"heap" * 1000
    assert files["config/router.yaml"] == core.yaml.encode()


def test_the_manifest_says_of_every_file_what_is_in_the_archive(export, core, tmp_path):
    (tmp_path / "a.prof").write_bytes(b"heap" * 1000)
    os.utime(tmp_path / "a.prof", (1_600_000_000, 1_600_000_000))
    add(core, "memory", ("a.prof", tmp_path / "a.prof"))
    files = export.unpacked()
    rows = {row["path"]: row for row in export.manifest()["members"]}
    assert rows.keys() == files.keys() - {"manifest.json"}
    for path in rows.keys() - {"manifest.txt"}:
        assert rows[path]["bytes"] == len(files[path])
        assert rows[path]["sha256"] == hashlib.sha256(files[path]).hexdigest()
    assert rows["memory/a.prof"]["modified"] == "2020-09-13T12:26:40Z"
    assert rows["memory/a.prof"]["plugin"] == "memory"
    assert rows["config/router.yaml"]["modified"] is None
    assert not any(row["truncated"] for row in rows.values())


def test_the_manifest_of_an_archive_covers_its_text_form(export, unpack):
    files = unpack(export.download())
    rows = {row["path"]: row for row in json.loads(files["manifest.json"])["members"]}
    assert rows["manifest.txt"]["sha256"] == hashlib.sha256(files["manifest.txt"]).hexdigest()


def test_the_executable_is_the_one_that_runs(make_export):
    files = make_export(include_binary=True).unpacked(only="binary")
    running = hashlib.sha256(Path("/proc/self/exe").read_bytes()).digest()
    assert hashlib.sha256(files["router-binary"]).digest() == running


def test_the_same_members_give_the_same_bytes(export, core, tmp_path, monkeypatch):
    (tmp_path / "a.prof").write_bytes(os.urandom(300_000))
    add(core, "memory", ("a.prof", tmp_path / "a.prof"), ("b", b"b"), ("c", lambda: b"c"))

    # The manifests tell times; all before them must not.
    monkeypatch.setattr(manifest, "as_json", lambda facts: b"{}")
    monkeypatch.setattr(archive.manifest_text, "as_text", lambda facts: b"")
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    assert export.download() == export.download()


def test_made_content_has_one_fixed_time_and_files_have_their_own(export, core, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    os.utime(tmp_path / "a", (1_600_000_000, 1_600_000_000))
    add(core, "memory", ("a", tmp_path / "a"), ("b", b"b"))
    with tarfile.open(fileobj=io.BytesIO(export.download())) as opened:
        times = {member.name: member.mtime for member in opened}
    assert times["memory/a"] == 1_600_000_000
    assert times["memory/b"] == times["config/router.yaml"] == FIXED_TIME
    assert abs(times["manifest.json"] - time.time()) < 60


# --- one contributor's trouble is its own ---------------------------------------------------


def raising():
    raise ValueError("no stacks today")


def exiting():
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (raising, "raised"),
        (exiting, "raised"),
        (lambda: "text", "wrong_type"),
        (42, "wrong_type"),
        (Path("/nowhere/at/all"), "vanished"),
        (Path("/dev/zero"), "not_regular"),
    ],
)
def test_a_bad_member_costs_itself_only(export, core, source, code):
    add(core, "bad", ("x", source))
    add(core, "good", ("y", b"y"), ("z", lambda: b"z"))
    files = export.unpacked()
    assert (files["good/y"], files["good/z"]) == (b"y", b"z")
    assert "bad/x" not in files
    assert failures(export.manifest(), "plugin", "path", "code") == [("bad", "bad/x", code)]
    assert "bad/x" in files["manifest.txt"].decode()


def test_a_hanging_member_costs_its_own_plugin_only(make_export, core):
    export, released = make_export(contributor_seconds=0.2), threading.Event()
    add(
        core,
        "slow",
        ("1-before", lambda: b"in time"),
        ("2-hangs", lambda: released.wait(10)),
        ("3-after", lambda: b"never asked"),
        ("at-hand", b"here already"),
    )
    add(core, "zgood", ("z", lambda: b"z"))
    began = time.monotonic()
    files = export.unpacked()
    took = time.monotonic() - began
    released.set()
    assert took < 1
    slow = {path for path in files if path.startswith("slow/")}
    assert slow == {"slow/1-before", "slow/at-hand"}
    assert files["zgood/z"] == b"z"


def test_a_hanging_member_is_told_in_the_manifest(make_export, core):
    released = threading.Event()
    add(core, "slow", ("2-hangs", lambda: released.wait(10)), ("3-after", lambda: b""))
    document = make_export(contributor_seconds=0.2).manifest()
    released.set()
    assert failures(document, "path", "code") == [
        ("slow/2-hangs", "timed_out"),
        ("slow/3-after", "timed_out"),
    ]
    (row,) = [row for row in document["plugins"] if row["name"] == "slow"]
    assert row["timed_out"] is True
    assert 0.2 <= row["seconds"] < 1


def test_the_time_of_the_hook_counts(make_export, core):
    add(core, "slow", ("called", lambda: b"too late"), ("at-hand", b"here already"))
    core.hook_seconds["slow"] = 5.0
    files = make_export(contributor_seconds=5).unpacked()
    assert "slow/at-hand" in files
    assert "slow/called" not in files


def test_a_hook_that_failed_is_a_row_and_the_rest_arrives(export, core):
    failure = PluginFailure("bad", "endoscope_archive_members", "ValueError: no")
    core.hook_failures["bad"] = [failure]
    add(core, "good", ("y", b"y"))
    assert export.unpacked()["good/y"] == b"y"
    assert failures(export.manifest(), "plugin", "path", "code", "message") == [
        ("bad", None, "hook_failed", "ValueError: no")
    ]


def test_a_plugin_that_never_loaded_is_a_row(export, core):
    core.load_failures = [PluginFailure("broken", "load", "ImportError: no")]
    rows = failures(export.manifest(), "plugin", "code", "message")
    assert rows == [("broken", "plugin_failed", "load: ImportError: no")]


def test_an_earlier_archives_failures_are_not_told_again(export, core):
    core.load_failures = [PluginFailure("bad", "endoscope_archive_members", "yesterday")]
    assert failures(export.manifest(), "plugin") == []


def test_two_claims_on_one_path_name_both(export, core):
    add(core, "config", ("router.yaml", b"mine"))
    assert export.unpacked()["config/router.yaml"] == core.yaml.encode()
    ((message,),) = failures(export.manifest(), "message")
    assert "export and config both" in message


def test_configuration_that_cannot_be_had_is_a_row(export, core):
    core.yaml = None
    assert failures(export.manifest(), "path", "code") == [("config/router.yaml", "raised")]


def test_facts_of_plugins_are_in_both_manifests(export, core):
    core.entries["memory"] = [
        ManifestEntry("heap", "in_use", 5),
        ManifestEntry("heap", "bad", object()),
    ]
    files = export.unpacked()
    assert b"\nmemory: heap\n  in_use  5\n" in files["manifest.txt"]
    document = export.manifest()
    assert document["entries"] == [
        {"plugin": "memory", "section": "heap", "name": "in_use", "value": 5}
    ]
    assert failures(document, "plugin", "code") == [("memory", "wrong_type")]


# --- files that change ------------------------------------------------------------------------


@pytest.fixture
def big(core, tmp_path):
    """Contribute a file of 1 MB of noise, and a small one after it."""
    path = tmp_path / "big"
    path.write_bytes(os.urandom(1_000_000))
    add(core, "memory", ("big", path), ("small", tmp_path / "small"))
    (tmp_path / "small").write_bytes(b"small")
    return path


def begun(export):
    chunks = export.stream().chunks
    first = [next(chunks) for _ in range(3)]
    return chunks, b"".join(first)


def test_a_file_that_shrinks_is_padded_and_marked(export, big, unpack):
    chunks, first = begun(export)
    whole = big.read_bytes()
    os.truncate(big, 600_000)
    files = unpack(first + b"".join(chunks))
    assert len(files["memory/big"]) == 1_000_000
    assert files["memory/big"] == whole[:600_000] + bytes(400_000)
    assert files["memory/small"] == b"small"


def test_a_file_that_shrinks_is_told_in_the_manifest(export, big, unpack):
    chunks, first = begun(export)
    os.truncate(big, 600_000)
    files = unpack(first + b"".join(chunks))
    document = json.loads(files["manifest.json"])
    rows = {row["path"]: row for row in document["members"]}
    assert rows["memory/big"]["truncated"] is True
    assert rows["memory/big"]["sha256"] == hashlib.sha256(files["memory/big"]).hexdigest()
    assert failures(document, "path", "code") == [("memory/big", "truncated")]
    assert b"memory/big (cut)" in files["manifest.txt"]


def test_a_file_that_grows_is_sent_as_it_was(export, big, unpack):
    chunks, first = begun(export)
    whole = big.read_bytes()
    with big.open("ab") as file:
        file.write(b"more" * 1000)
    assert unpack(first + b"".join(chunks))["memory/big"] == whole


def test_a_file_deleted_while_it_is_read_arrives_whole(export, big, unpack):
    chunks, first = begun(export)
    whole = big.read_bytes()
    big.unlink()
    assert unpack(first + b"".join(chunks))["memory/big"] == whole


def test_a_file_deleted_or_replaced_before_its_turn_is_a_row(export, big, tmp_path, unpack):
    stream = export.stream()
    big.unlink()
    (tmp_path / "small").unlink()
    (tmp_path / "small").symlink_to("/etc/passwd")
    files = unpack(b"".join(stream.chunks))
    assert not any(path.startswith("memory/") for path in files)
    assert b"memory/big    vanished" in files["manifest.txt"]
    assert b"memory/small  not_regular" in files["manifest.txt"]


# --- the process that it runs in -----------------------------------------------------------------


def descriptors():
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("steps", [0, 1, 3, 5])
def test_closing_at_any_point_closes_every_descriptor(export, big, steps):
    before = descriptors()
    chunks = export.stream().chunks
    for _ in range(steps):
        next(chunks)
    chunks.close()
    assert descriptors() == before


def test_an_archive_to_its_end_leaves_no_descriptor(make_export, big):
    before = descriptors()
    make_export(include_binary=True).download()
    assert descriptors() == before


def test_running_out_of_descriptors_costs_files_but_not_the_archive(export, big, unpack):
    stream = export.stream()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        data = b"".join(stream.chunks)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert b"Too many open files" in unpack(data)["manifest.txt"]


def test_memory_is_constant_whatever_the_size(export, core, tmp_path):
    sparse = tmp_path / "sparse"
    sparse.touch()
    os.truncate(sparse, 300_000_000)
    add(core, "memory", ("sparse", sparse))
    tracemalloc.start()
    try:
        sizes = [len(chunk) for chunk in export.stream().chunks]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) < 3_000_000
    assert peak < 4_000_000
    # Zeros compress to nearly nothing, and yet whoever pulls gets a word in between.
    assert len(sizes) >= 300_000_000 // 8_400_000


def test_the_first_entry_is_there_before_anything_slow_is_done(export, core):
    asked = []
    add(core, "memory", ("at-hand", b"here"), ("called", lambda: asked.append(1) or b"x"))
    first = next(export.stream().chunks)
    assert asked == []
    tar = zlib.decompressobj(31).decompress(first)
    assert tar.startswith(b"config/router.yaml\0")
    assert b"memory/at-hand\0" in tar
