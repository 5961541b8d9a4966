"""The same members are the same bytes, every reader takes them, and no secret is among them."""

from __future__ import annotations

import base64
import os
import random
import tarfile
import zlib
from pathlib import Path

import pytest

MEBIBYTE = 1 << 20
LATIN = b"caf\xe9.log"
PASSWORD = "planted-password-5b1f"
TOKEN = "planted-token-77ac"
SECRET = "integration-secret-8f2c"
BASE64 = base64.b64encode(SECRET.encode()).decode()

# Every kind of member: text, binaries that are kept and that are not, what is made on demand;
# and after a file that is kept, one that compresses to next to nothing.
EVERYTHING = """
def members():
    names = sorted(os.listdir(os.fsencode(folder)))
    kept = [n for n in names if n.endswith(b".prof")]
    files = [member(os.fsdecode(n), folder / os.fsdecode(n), verbatim=n in kept) for n in names]
    return [*files, member("made", lambda: b"made on demand"), member("d" * 120 + "/long", b"long")]
"""
LOG = f"""\
2026-03-01 connecting with password={PASSWORD} to the store
{{"api_token": "{TOKEN}", "port": 8080}}
Authorization: Bearer {BASE64}
said {SECRET} aloud
"""
TIMES = 1000
PLAIN = b"nothing to see here, and so on for more than a megabyte\n" * 20_000
ENVIRONMENT = f"PATH=/bin\nDB_PASSWORD={PASSWORD}\nSERVICE_TOKEN={TOKEN}\n".encode()


def contribute_everything(host):
    host.contribute(EVERYTHING)
    made = random.Random(7)  # noqa: S311
    files = {
        b"a.prof": made.randbytes(3 * MEBIBYTE),
        b"b.prof": made.randbytes(2 * MEBIBYTE + 7),
        b"c.prof": b"\1" + bytes(20 * MEBIBYTE),
        b"d.core": b"\1" + bytes(30 * MEBIBYTE),
        b"e.log": LOG.encode() * TIMES + PLAIN,
        b"environ.txt": ENVIRONMENT,
        LATIN: b"a line\n",
    }
    for name, content in files.items():
        file = host.files / os.fsdecode(name)
        file.write_bytes(content)
        os.utime(file, (1_700_000_000, 1_700_000_000))


@pytest.fixture(scope="module")
def fresh(archiving):
    """Run a host that keeps no compressed streams."""
    host = archiving(export={"keep_compressed_bytes": 0})
    contribute_everything(host)
    return host


@pytest.fixture(scope="module")
def keeping(archiving):
    """Run a host that keeps compressed streams."""
    host = archiving()
    contribute_everything(host)
    return host


# --- the same bytes ------------------------------------------------------------------------------


def before_the_manifest(archive, tar):
    """Return where the manifest's header begins in the uncompressed archive."""
    end = tar.index(b"manifest.txt\0")
    assert len(archive.files["manifest.txt"]) < len(tar) - end
    return end


def decompressed_prefix(data):
    """Return how many bytes the beginning of a gzip file, several streams maybe, is sure of."""
    length = 0
    while data:
        stream = zlib.decompressobj(31)
        length += len(stream.decompress(data))
        data = stream.unused_data if stream.eof else b""
    return length


def assert_same(host, first, second):
    tars = [host.tar_of(archive.data) for archive in (first, second)]
    end = before_the_manifest(first, tars[0])
    assert tars[0][:end] == tars[1][:end]
    compressed = os.path.commonprefix([first.data, second.data])  # noqa: RUF071  no paths
    assert decompressed_prefix(compressed) >= end


def test_two_archives_of_the_same_members_are_the_same_bytes(fresh):
    assert_same(fresh, fresh.archive(), fresh.archive())


def test_a_kept_stream_is_the_same_bytes_as_a_new_one(keeping):
    assert keeping.kept() == set()
    new, kept = keeping.archive(), keeping.archive()
    assert len(keeping.kept()) == 3
    assert_same(keeping, new, kept)


def test_a_stream_is_the_same_bytes_whatever_was_asked_for_when_it_was_kept(archiving, keeping):
    host = archiving()
    contribute_everything(host)
    host.archive("only=faulty")
    keeping.archive()
    assert gzip_streams(host.kept()) == gzip_streams(keeping.kept())


def gzip_streams(paths):
    """Return the contents of kept streams, whose names tell one file from another."""
    return sorted(Path(path).read_bytes() for path in paths)


# --- readers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["tar.gz", "tar.gz of kept streams", "tar.zst"])
def downloaded(request, keeping, tmp_path_factory):
    """Download an archive into a file of its own."""
    form = request.param.split()[0]
    data = [keeping.ask(f"without=binary&format={form}").body for _ in range(2)]
    path = tmp_path_factory.mktemp("downloaded") / f"archive.{form}"
    path.write_bytes(data[-1])
    return path


@pytest.fixture
def expected(keeping):
    """Return what a reader must find, but for what is masked and the manifests."""
    names = [path.name for path in keeping.files.iterdir()]
    plain = [name for name in names if name not in ("e.log", "environ.txt")]
    return {f"faulty/{name}": (keeping.files / name).read_bytes() for name in plain}


def check(folder, expected):
    for path, content in expected.items():
        assert (folder / path).read_bytes() == content, path
    assert (folder / "manifest.json").read_bytes().rstrip().endswith(b"}")


def quiet(run, *words, cwd):
    """Run a program that must succeed and have nothing to complain about."""
    done = run(words, cwd=cwd, environment=os.environ | {"LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (0, "")


READERS = {
    "tar": "tar -xf {archive}",
    "bsdtar": "bsdtar -xf {archive}",
    "gzip and zstd": "{tool} -dc {archive} | tar -xf -",
    "7z": "7z x -so {archive} | tar -xf -",
}


@pytest.mark.parametrize("reader", READERS)
def test_readers_of_both_formats_have_nothing_to_say(
    downloaded, reader, expected, run, needs, tmp_path
):
    needs(*reader.split(" and "), "tar")
    tool = {".gz": "gzip", ".zst": "zstd"}[downloaded.suffix]
    line = READERS[reader].format(archive=downloaded, tool=tool)
    quiet(run, "sh", "-c", line, cwd=tmp_path)
    check(tmp_path, expected)


def test_python_reads_it_with_its_strictest_filter(keeping, downloaded, expected, tmp_path):
    plain = tmp_path / "archive.tar"
    plain.write_bytes(keeping.tar_of(downloaded.read_bytes()))
    with tarfile.open(plain, encoding="utf-8", errors="surrogateescape") as opened:
        opened.extractall(tmp_path, filter="data")
    check(tmp_path, expected)


def test_no_byte_of_a_planted_secret_is_in_it(keeping, downloaded):
    tar = keeping.tar_of(downloaded.read_bytes())
    for secret in (PASSWORD, TOKEN, SECRET, BASE64):
        assert secret.encode() not in tar
    archive = keeping.read(downloaded.read_bytes())
    lines = archive.files["faulty/e.log"].splitlines()[: 4 * TIMES]
    assert all(b"********" in line for line in lines)
    assert sum(archive.rows["faulty/e.log"]["redactions"].values()) == 4 * TIMES
    assert archive.files["faulty/environ.txt"].startswith(b"PATH=/bin\nDB_PASSWORD=********\n")
