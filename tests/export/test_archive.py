"""Whole archives, from what plugins contribute to the bytes that a client unpacks."""

from __future__ import annotations

import gzip
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
import zstandard

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
        {"plugin": "memory", "section": "heap", "name": "in_use", "value": 5, "process": None}
    ]
    assert failures(document, "plugin", "code") == [("memory", "wrong_type")]


# --- files that change ------------------------------------------------------------------------


@pytest.fixture
def big(core, tmp_path):
    """Contribute a file of 2 MB of noise, and a small one after it."""
    path = tmp_path / "big"
    path.write_bytes(os.urandom(2_000_000))
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
    os.truncate(big, 1_500_000)
    files = unpack(first + b"".join(chunks))
    assert len(files["memory/big"]) == 2_000_000
    assert files["memory/big"] == whole[:1_500_000] + bytes(500_000)
    assert files["memory/small"] == b"small"


def test_a_file_that_shrinks_is_told_in_the_manifest(export, big, unpack):
    chunks, first = begun(export)
    os.truncate(big, 1_500_000)
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


# --- secrets -------------------------------------------------------------------------------------


def test_secrets_are_masked_in_text_and_counted_by_rule_and_file(make_export, core):
    core.contributed["logs"] = [
        ArchiveMember("a.log", b"sent test-secret-123 to http://bob:pw-of-bob@host/\n", "logs"),
        ArchiveMember("b.log", lambda: b"order cust-12345678 came\n", "logs"),
    ]
    export = make_export(redact={"customer": "cust-[0-9]{8}"})
    files, document = export.unpacked(), export.manifest()
    assert files["logs/a.log"] == b"sent ******** to http://bob:********@host/\n"
    assert files["logs/b.log"] == b"order ******** came\n"
    redactions = {row["path"]: row["redactions"] for row in document["members"]}
    assert redactions["logs/a.log"] == {"secret": 1, "url": 1}
    assert redactions["logs/b.log"] == {"customer": 1}
    assert document["redactions"] == {"customer": 1, "secret": 1, "url": 1}


def test_binary_and_verbatim_content_is_sent_as_it_is(export, core):
    elf, dump = b"\x7fELF\0 test-secret-123", b"heap_v2/1\n password=x\n"
    core.contributed["any"] = [
        ArchiveMember("binary", elf, "any"),
        ArchiveMember("a.prof", dump, "any", verbatim=True),
    ]
    files, document = export.unpacked(), export.manifest()
    assert (files["any/binary"], files["any/a.prof"]) == (elf, dump)
    kinds = {row["path"]: row["content"] for row in document["members"]}
    assert kinds["any/binary"] == kinds["any/a.prof"] == "binary"
    assert kinds["config/router.yaml"] == kinds["manifest.txt"] == "text"


def test_what_plugins_say_in_the_manifest_is_masked_too(export, core):
    core.contributed["bad"] = [ArchiveMember("x", failing_with_secret, "bad")]
    core.entries["bad"] = [
        ManifestEntry("db", "password", "hunter2-hunter2"),
        ManifestEntry("db", "url", "postgres://bob:pw-of-bob@host/db"),
        ManifestEntry("db", "connections", 5),
    ]
    failure = PluginFailure("worse", "endoscope_start", "no test-secret-123 here")
    core.load_failures = [failure]
    core.hook_failures["bad"] = [
        PluginFailure("bad", "endoscope_archive_members", "Bearer dGVzdC1zZWNyZXQtMTIz refused")
    ]
    files = export.unpacked()
    whole = files["manifest.json"] + files["manifest.txt"]
    for secret in (b"hunter2", b"pw-of-bob", b"test-secret-123", b"dGVzdC1zZWNyZXQtMTIz"):
        assert secret not in whole
    entries = {row["name"]: row["value"] for row in json.loads(files["manifest.json"])["entries"]}
    assert entries == {
        "password": "********",
        "url": "postgres://bob:********@host/db",
        "connections": 5,
    }


def failing_with_secret():
    raise ValueError("cannot log in with password=hunter2-hunter2")


# --- limits --------------------------------------------------------------------------------------


def test_of_large_text_the_end_is_there_and_a_large_binary_is_not(make_export, core):
    lines = b"".join(b"line %d\n" % number for number in range(1000))
    add(core, "any", ("a.log", lines), ("b.bin", b"\1\0" * 101), ("c.log", b"short\n"))
    export = make_export(max_file_bytes=200)
    files, document = export.unpacked(), export.manifest()
    cut = files["any/a.log"]
    assert len(cut) <= 200
    assert lines.endswith(b"\n" + cut)
    assert files["any/c.log"] == b"short\n"
    assert "any/b.bin" not in files
    told = {row["path"]: row["code"] for row in document["failures"]}
    assert told["any/a.log"] == "truncated"
    assert told["any/b.bin"] == "too_large"


def test_an_archive_of_a_limited_size_takes_what_still_fits(make_export, core):
    config = len(core.yaml)
    add(core, "memory", ("a", b"\1\0" * 30), ("b", b"\1\0" * 30), ("c", b"\1\0" * 5))
    export = make_export(max_archive_bytes=config + 100)
    files, document = export.unpacked(), export.manifest()
    assert {"memory/a", "memory/c"} <= files.keys()
    assert "memory/b" not in files
    assert failures(document, "path", "code") == [("memory/b", "too_large")]


def test_a_full_archive_still_has_its_manifest(make_export, core):
    add(core, "memory", ("a", b"x"))
    document = make_export(max_archive_bytes=len(core.yaml)).manifest()
    assert failures(document, "path", "code") == [("memory/a", "archive_full")]


def test_when_its_time_is_over_the_archive_ends_with_its_manifest(make_export, core):
    add(core, "any", ("a", lambda: time.sleep(0.2) or b"late"), ("b", lambda: b"never"))
    document = make_export(export_seconds=0.1).manifest()
    codes = dict(failures(document, "path", "code"))
    assert codes == {"any/a": "out_of_time", "any/b": "out_of_time"}
    assert document["complete"] is True


# --- since ---------------------------------------------------------------------------------------


def test_files_that_were_not_changed_since_are_left_out(make_export, core, tmp_path):
    for name, age in (("new", 60), ("old", 7200)):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    add(
        core,
        "logs",
        ("new", tmp_path / "new"),
        ("old", tmp_path / "old"),
        ("opened", (tmp_path / "old").open),
        ("made", lambda: b"made now"),
    )
    export = make_export(include_binary=True)
    files = export.unpacked(since="1h")
    assert {"logs/new", "logs/made", "router-binary", "config/router.yaml"} <= files.keys()
    left_out = json.loads(files["manifest.json"])["left_out"]
    assert [(row["path"], row["reason"]) for row in left_out] == [
        ("logs/opened", "older"),
        ("logs/old", "older"),
    ]
    assert json.loads(files["manifest.json"])["selection"]["since"] is not None


# --- kept streams --------------------------------------------------------------------------------


def before_manifests(data):
    """Return the tar up to the manifests, which tell times."""
    tar = gzip.decompress(data)
    return tar[: tar.index(b"manifest.txt\0")]


@pytest.fixture
def large(core, tmp_path):
    """Contribute a dump that is worth being kept, and two that are not, around it."""
    path = tmp_path / "large.prof"
    path.write_bytes(os.urandom(3_000_000))
    core.contributed["memory"] = [
        ArchiveMember("a.txt", b"before", "memory"),
        ArchiveMember("large.prof", path, "memory", verbatim=True),
        ArchiveMember("z.prof", b"after", "memory", verbatim=True),
    ]
    return path


def kept(folder):
    return [path for path in folder.iterdir() if path.suffix == ".gz"]


def test_a_large_file_is_compressed_once(export, core, large, tmp_path):
    first = export.download()
    (stream,) = kept(tmp_path)
    written = stream.stat().st_mtime_ns
    os.utime(stream, (1, 1))
    second = export.download()
    assert before_manifests(second) == before_manifests(first)
    assert [path.name for path in kept(tmp_path)] == [stream.name]
    assert stream.stat().st_mtime > 1  # it was used
    assert written != stream.stat().st_mtime_ns
    manifests = [json.loads(_files(each)["manifest.json"])["members"] for each in (first, second)]
    shas = [{row["path"]: row["sha256"] for row in rows} for rows in manifests]
    assert shas[0]["memory/large.prof"] == shas[1]["memory/large.prof"]
    assert shas[1]["memory/large.prof"] == hashlib.sha256(large.read_bytes()).hexdigest()


def _files(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened}


def test_a_file_that_was_written_anew_is_compressed_anew(export, large):
    export.download()
    large.write_bytes(b"heap_v2/1\n" * 200_000)
    assert export.unpacked()["memory/large.prof"] == large.read_bytes()


def test_a_file_that_changed_while_it_was_sent_is_not_kept(export, large, tmp_path):
    chunks = export.stream().chunks
    next(chunks)
    large.write_bytes(b"changed\n" * 300_000)
    assert b"".join(chunks)
    os.truncate(large, 100)
    assert export.unpacked()["memory/large.prof"] == large.read_bytes()


def test_nothing_is_kept_if_so_set_nor_of_an_archive_that_was_given_up(
    make_export, large, tmp_path
):
    assert make_export(keep_compressed_bytes=0).unpacked()["memory/large.prof"]
    chunks = make_export().stream().chunks
    for _ in range(2):
        next(chunks)
    chunks.close()
    assert kept(tmp_path) == []


def test_zstd_is_one_stream(export, large, tmp_path):
    data = export.download(format="tar.zst")
    tar = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        assert opened.getnames()[-1] == "manifest.json"
    assert kept(tmp_path) == []
