"""Files that are not what they were: the archive is whole without them, and says so."""

from __future__ import annotations

import os
import tarfile
import threading

import pytest
import zstandard

# Root reads whatever a file's mode says, unless it has given up these capabilities.
WITHOUT = "setpriv --bounding-set=-dac_override,-dac_read_search"


@pytest.fixture(scope="module")
def host(archiving):
    """Run a host with the default settings, that cannot read what others may not."""
    return archiving(before=WITHOUT if os.geteuid() == 0 else "")


# --- files ---------------------------------------------------------------------------------------

# The last member that is made before files are opened changes them: "it was there when the
# list was made, and is not what it was when its turn had come".
SWAPPED = """
def members():
    file = folder / "swapped.log"
    file.write_bytes(b"as it was\\n")

    def swap():
        file.unlink()
        {swap}
        return b"swapped"

    return [member("swap", swap), member("file.log", file)]
"""

SWAPS = {
    "vanished": ("pass", "vanished"),
    "a symbolic link": ("file.symlink_to('/etc/hostname')", "not_regular"),
    "a dangling link": ("file.symlink_to('/nowhere')", "not_regular"),
    "a FIFO": ("os.mkfifo(file)", "not_regular"),
    "a directory": ("file.mkdir()", "not_regular"),
    "a device": ("os.mknod(file, 0o20600, os.makedev(1, 5))", "not_regular"),
    "unreadable": ("file.touch(mode=0)", "unreadable"),
}


@pytest.mark.parametrize("kind", SWAPS)
def test_a_file_that_is_another_when_its_turn_comes(host, kind):
    swap, code = SWAPS[kind]
    if "mknod" in swap and os.geteuid() != 0:
        pytest.skip("making a device takes root")
    with host.unharmed():
        host.contribute(SWAPPED.format(swap=swap))
        archive = host.archive()
        assert archive.failures == {"faulty/file.log": code}
        assert archive.files["faulty/swap"] == b"swapped"
        assert archive.has_all_sound()


def test_a_fifo_is_not_even_opened(host, wait_for):
    host.contribute("""
        def members():
            return [member("fifo", folder / "fifo")]
    """)
    os.mkfifo(host.files / "fifo")
    writer = threading.Thread(target=lambda: (host.files / "fifo").open("wb").close(), daemon=True)
    writer.start()
    assert host.archive().failures == {"faulty/fifo": "not_regular"}
    assert writer.is_alive()  # it still waits for a first reader
    os.close(os.open(host.files / "fifo", os.O_RDONLY | os.O_NONBLOCK))
    wait_for("the writer's end", lambda: not writer.is_alive())


# Its own `close` changes the file: after its size was fixed, before its first byte is read.
CHANGING = """
class Changing:
    def __init__(self, path):
        self.path, self.file = path, path.open("rb")
    def fileno(self):
        return self.file.fileno()
    def close(self):
        self.file.close()
        with self.path.open("r+b") as file:
            {change}

def members():
    (folder / "changing").write_bytes({content!r})
    return [member("changing", lambda: Changing(folder / "changing"))]
"""
TEXT = b"a line of twenty-two.\n" * 1000
BINARY = bytes(range(256)) * 100


@pytest.mark.parametrize("content", [TEXT, BINARY], ids=["text", "binary"])
def test_a_file_that_grows_is_sent_as_it_was(host, content):
    with host.unharmed():
        change = "file.seek(0, 2); file.write(b'more')"
        host.contribute(CHANGING.format(change=change, content=content))
        archive = host.archive()
        assert archive.files["faulty/changing"] == content
        assert archive.failures == {}


def test_text_that_shrinks_is_marked_and_ends_where_it_ended(host):
    with host.unharmed():
        host.contribute(CHANGING.format(change="file.truncate(2200)", content=TEXT))
        archive = host.archive()
        assert archive.files["faulty/changing"] == TEXT[:2200]
        assert archive.rows["faulty/changing"]["truncated"] is True
        assert archive.failures == {"faulty/changing": "truncated"}
        assert "from 22000 to 2200 bytes" in archive.messages["faulty/changing"]


def test_a_binary_that_shrinks_while_it_is_sent_is_padded_and_marked(host):
    content = os.urandom(24 << 20)
    with host.unharmed():
        host.contribute("""
            def members():
                return [member("shrinking.prof", folder / "shrinking.prof", verbatim=True)]
        """)
        file = host.files / "shrinking.prof"
        file.write_bytes(content)
        with host.download("only=faulty") as response:
            begun = response.read(1 << 20)
            os.truncate(file, 23 << 20)
            archive = host.read(begun + response.read())
        sent = archive.files["faulty/shrinking.prof"]
        assert len(sent) == len(content)
        assert sent[: 23 << 20] == content[: 23 << 20]
        assert sent[23 << 20 :] == bytes(1 << 20)
        assert archive.rows["faulty/shrinking.prof"]["truncated"] is True
        assert archive.failures == {"faulty/shrinking.prof": "truncated"}
        assert host.kept() == set()


# A file of 4,096 bytes, says fstat, none of which the kernel lets anybody read.
FAILS_TO_READ = "/sys/class/net/lo/speed"


def test_a_file_that_cannot_be_read(host):
    if not os.path.exists(FAILS_TO_READ):
        pytest.skip(f"there is no {FAILS_TO_READ}")
    with host.unharmed():
        host.contribute(f"""
            def members():
                return [
                    member("text", Path({FAILS_TO_READ!r})),
                    member("dump", Path({FAILS_TO_READ!r}), verbatim=True),
                ]
        """)
        archive = host.archive()
        assert archive.failures == {"faulty/text": "unreadable", "faulty/dump": "truncated"}
        assert archive.files["faulty/dump"] == bytes(4096)
        assert archive.rows["faulty/dump"]["truncated"] is True


def test_names_that_are_long_or_no_text(host):
    names = [
        b"caf\xe9.log",
        b"new\nline.log",
        b"long/" * 19 + b"of 100 bytes",
        b"/".join([b"n" * 100] * 10) + b"/of 1021 bytes",
        b"n" * 255,
    ]
    with host.unharmed():
        host.contribute(f"""
            def members():
                names = [os.fsdecode(name) for name in {[*names, b"n" * 256]!r}]
                return [member(name, name.encode("utf-8", "replace")) for name in names]
        """)
        archive = host.archive()
        paths = {f"faulty/{os.fsdecode(name)}" for name in names}
        assert paths <= set(archive.files)
        assert archive.failures == {f"faulty/{'n' * 256}": "unsafe_path"}


# --- more than 8 GiB -----------------------------------------------------------------------------

HUGE = 10 << 30


# In memory, whose holes are read faster than a disk's.
SPARSE = f"""
def sparse():
    file = open(os.memfd_create("sparse"), "r+b")
    file.truncate({HUGE})
    return file

def members():
    return [member("sparse", sparse, verbatim=True)]
"""


def test_ten_gigabytes_of_nothing(host, needs, run, tmp_path):
    needs("curl", "zstd", "tar")
    peak = host.memory_peak()
    kept = tmp_path / "huge.tar.zst"
    with host.unharmed():
        host.contribute(SPARSE)
        line = f"{curl(host, 'format=tar.zst')} | tee {kept} | zstd -dc | tar -tvf -"
        listed = run(["sh", "-c", line])
    assert host.memory_peak() - peak < 32 << 20
    assert size_by_python(kept) == HUGE
    assert listed.stderr == ""
    assert size_by_tar(listed.stdout) == HUGE
    assert listed.stdout.endswith("manifest.json\n")


def curl(host, query):
    url = f"http://127.0.0.1:{host.host.port}/diagnostics/export?without=binary&{query}"
    return f"curl -sSfH 'Authorization: {host.headers['Authorization']}' '{url}'"


def size_by_python(archive):
    """Return what the header says; what comes after it is not looked at."""
    with (
        archive.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as tar,
        tarfile.open(fileobj=tar, mode="r|") as members,
    ):
        return next(member.size for member in members if member.name == "faulty/sparse")


def size_by_tar(listing):
    lines = [line.split() for line in listing.splitlines()]
    return next(int(words[2]) for words in lines if words[-1] == "faulty/sparse")


@pytest.mark.torture  # gzip takes its time for ten gigabytes
def test_ten_gigabytes_as_they_are_downloaded(host, needs, run):
    needs("curl", "tar")
    host.contribute(SPARSE)
    listed = run(["sh", "-c", f"{curl(host, 'format=tar.gz')} | tar -tzvf -"], seconds=100)
    assert listed.stderr == ""
    assert size_by_tar(listed.stdout) == HUGE
    assert listed.stdout.endswith("manifest.json\n")
