import json

import pytest


def test_it_shows_the_manifest(run, whole):
    done = run("inspect", whole)
    assert (done.returncode, done.stderr) == (0, "")
    assert "service           shop 2.5" in done.stdout
    assert "1,280  shop-binary   shop-binary" in done.stdout
    assert all(line == line.rstrip() for line in done.stdout.splitlines())


def test_standard_input(run, whole):
    done = run("inspect", "-", stdin=whole.read_bytes(), text=False)
    assert b"shop 2.5" in done.stdout


def test_json_is_the_manifest_itself(run, build, whole):
    files = {**build.FILES, "manifest.txt": b"for a person\n"}
    assert json.loads(run("inspect", "--json", whole).stdout) == build.manifest(files)


def test_members_are_lines(run, whole):
    lines = run("inspect", "--members", whole).stdout.splitlines()
    assert lines[1:4] == ["1280 shop-binary", "600 memory/status.json", "19 config/shop.yaml"]
    lines = run("inspect", "--members", "--in-order", whole).stdout.splitlines()
    assert lines[0] == "19 config/shop.yaml"
    assert lines[-1].endswith(" manifest.json")


@pytest.mark.parametrize("words", [[], ["--members"], ["--json"]])
def test_without_a_manifest_it_lists_what_is_there(run, build, tmp_path, words):
    (tmp_path / "x").write_bytes(build.gzip(build.tar(("a\x1b[2J", b"123")))[:-4])
    done = run("inspect", tmp_path / "x", *words)
    assert done.returncode == 1
    assert "the archive is incomplete: the gzip stream ends before its end" in done.stderr
    assert ("a\\u001b[2J" in done.stdout) is (words != ["--json"])
    assert "\x1b" not in done.stdout


def test_damage_behind_the_manifest_is_told(run, build, tmp_path):
    (tmp_path / "x").write_bytes(build.gzip(build.archive()) + b"more")
    done = run("inspect", tmp_path / "x")
    assert done.returncode == 1
    assert "shop 2.5" in done.stdout
    assert "damaged behind its manifest" in done.stderr


def test_what_is_no_archive(run, tmp_path):
    (tmp_path / "x").write_bytes(b"hello" * 999)
    done = run("inspect", tmp_path / "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no tar archive" in done.stderr
