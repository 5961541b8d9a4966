"""Archives read back with the tools that people have."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endoscope import ArchiveMember
from endoscope_export.manifest_text import CHECK_COMMAND

LATIN = os.fsdecode(b"caf\xe9.prof")
LONG = "d" * 90 + "/" + "e" * 200 + "/" + "f" * 30
NAMES = ["plain.prof", "two words", "ünïcode", LATIN, LONG, "-dash", "quote'\"", "new\nline"]


@pytest.fixture
def archive(make_export, core, tmp_path):
    """Path of an archive with every kind of member."""
    source = tmp_path / "source"
    source.mkdir()
    members = []
    for number, name in enumerate(NAMES):
        file = source / str(number)
        file.write_bytes(os.urandom(1000 * number))
        members.append(ArchiveMember(name, file, "memory"))
    members.append(ArchiveMember("gone", source / "gone", "memory"))
    members.append(ArchiveMember("status.json", lambda: b"{}", "memory"))
    core.contributed["memory"] = members
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(make_export(include_binary=True).download())
    return path


def run(*command, cwd=None):
    """Run a program that must succeed and have nothing to complain about."""
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, cwd=cwd, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b""), (done.stdout[-500:], done.stderr)
    return done.stdout


def program(name):
    return pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not installed")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "unpacked").mkdir()
    return tmp_path / "unpacked"


def assert_complete(folder, tmp_path):
    for number, name in enumerate(NAMES):
        expected = (tmp_path / "source" / str(number)).read_bytes()
        assert (folder / "memory" / name).read_bytes() == expected
    assert json.loads((folder / "manifest.json").read_bytes())["complete"] is True


@program("tar")
def test_gnu_tar_lists_and_unpacks_in_silence(archive, folder, tmp_path):
    listed = os.fsdecode(run("tar", "-tzf", archive, "--quoting-style=literal"))
    assert listed.endswith("router-binary\nmanifest.txt\nmanifest.json\n")
    assert f"memory/{LATIN}\n" in listed
    run("tar", "-xzf", archive, "-C", folder)
    assert_complete(folder, tmp_path)


@program("bsdtar")
def test_bsdtar_unpacks_in_silence(archive, folder, tmp_path):
    run("bsdtar", "-xzf", archive, "-C", folder)
    assert_complete(folder, tmp_path)


def test_python_unpacks_with_its_strictest_filter(archive, folder, tmp_path):
    with tarfile.open(archive, encoding="utf-8", errors="surrogateescape") as opened:
        opened.extractall(folder, filter="data")
    assert_complete(folder, tmp_path)


@program("7z")
def test_7zip_tests_it_well(archive, folder):
    run("7z", "x", f"-o{folder}", archive)
    assert b"Everything is Ok" in run("7z", "t", folder / "archive.tar")


@program("gzip")
def test_gzip_finds_nothing_behind_its_end(archive):
    run("gzip", "-t", archive)


@program("sha256sum")
def test_the_checksums_can_be_checked_with_the_printed_command(archive, folder):
    run("tar", "-xzf", archive, "-C", folder)
    assert CHECK_COMMAND in (folder / "manifest.txt").read_text("utf-8", "surrogateescape")
    checked = run("sh", "-c", CHECK_COMMAND, cwd=folder)
    assert checked.count(b": OK\n") == len(NAMES) + len(
        ["config/router.yaml", "memory/status.json", "router-binary"]
    )


def test_a_half_download_has_no_manifest(archive, folder):
    whole = archive.read_bytes()
    cut = folder / "cut.tar.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    done = subprocess.run(["tar", "-tzf", cut], capture_output=True, check=False)
    assert done.returncode != 0
    assert b"manifest.json" not in done.stdout


def test_the_manifest_is_as_the_schema_says(archive, request):
    schema = json.loads((request.config.rootpath / "docs/manifest.schema.json").read_text())
    with tarfile.open(archive) as opened:
        document = json.load(opened.extractfile("manifest.json"))
    jsonschema.Draft202012Validator(schema).validate(document)
    assert [row["path"] for row in document["failures"]] == ["memory/gone"]


segments = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
)
raw_segments = st.binary(min_size=1, max_size=60).map(
    lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_").decode("utf-8", "surrogateescape")
)
paths = st.lists(segments | raw_segments, min_size=1, max_size=5).map("/".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(paths, st.binary(max_size=2000)), max_size=6))
def test_every_member_is_in_the_archive_or_in_its_failures(export, core, files):
    core.contributed["any"] = [ArchiveMember(path, data, "any") for path, data in files]
    data = export.download()
    with tarfile.open(
        fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape"
    ) as opened:
        unpacked = {member.name: opened.extractfile(member).read() for member in opened}
    document = json.loads(unpacked["manifest.json"])
    here = [row["path"] for row in document["members"] if row["plugin"] == "any"]
    failed = [row["path"] for row in document["failures"]]
    assert sorted(here + failed) == sorted(f"any/{path}" for path, _ in files)
    assert set(here) <= unpacked.keys()
    first = {}
    for path, content in files:
        first.setdefault(f"any/{path}", content)
    assert all(unpacked[path] == first[path] for path in here)
