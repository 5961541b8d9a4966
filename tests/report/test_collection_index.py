import json
import subprocess

from endoscope_report import collection_index
from endoscope_report.collection_index import Row

CAME = Row(
    target="http://a:1",
    service_name="shop\x1b[2J",
    service_version="2",
    pid=7,
    processes=3,
    path="a-1-x.tar.gz",
    bytes=1500,
    sha256="ab" * 32,
    seconds=1.25,
    attempts=2,
    verdict="gaps",
    members=12,
    failures=3,
)
FAILED = Row(target="http://b:1", attempts=4, error="Connection refused", remedy="Start it.")


def test_one_line_for_each():
    assert CAME.line == "http://a:1: a-1-x.tar.gz (1.5 kB, whole, 3 failed or cut)"
    assert FAILED.line == "http://b:1: Connection refused. Start it."


def test_json_has_a_row_for_each(tmp_path):
    told = collection_index.write(tmp_path, [CAME, FAILED], {"only": "memory"})
    assert json.loads((tmp_path / "index.json").read_text()) == told
    assert (told["schema"], told["asked_for"]) == (1, {"only": "memory"})
    first, second = told["targets"]
    assert (first["target"], first["pid"], first["failures"]) == ("http://a:1", 7, 3)
    assert (second["path"], second["error"]) == (None, "Connection refused")
    assert first.keys() == second.keys()


def test_text_is_for_people_and_for_sha256sum(tmp_path):
    (tmp_path / CAME.path).write_bytes(b"")
    collection_index.write(tmp_path, [CAME, FAILED], {})
    text = (tmp_path / "index.txt").read_text()
    assert text.startswith("1 of 2 archives came whole")
    assert "shop\\u001b[2J 2          3  1,500" in text
    assert "http://b:1  Connection refused  Start it." in text
    command = "grep -E '^[0-9a-f]{64}  ' index.txt | sha256sum -c"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False)  # noqa: S602
    assert b"a-1-x.tar.gz: FAILED" in done.stdout
