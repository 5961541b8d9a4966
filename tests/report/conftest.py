from __future__ import annotations

import gzip
import io
import tarfile

import pytest
import zstandard

from made import dump_of

TAKEN = 1_795_479_593


def name_of(minute):
    return f"shop_heap_dump_{TAKEN + 60 * minute}.prof"


@pytest.fixture
def dumps(tmp_path, monkeypatch):
    """Write three dumps, minutes apart, of a leak and a cache; return their names."""
    monkeypatch.chdir(tmp_path)
    for minute in range(3):
        content = dump_of(minute, leak=1000 + 50_000 * minute, cache=70_000)
        (tmp_path / name_of(minute)).write_bytes(content)
    return [name_of(minute) for minute in range(3)]


def tar_of(members):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return written.getvalue()


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Write an archive like those of export; return its name."""
    monkeypatch.chdir(tmp_path)

    def write(dumps=(0, 1, 2), *, name="shop.tar.gz", complete=True, **more):
        members = {"config/shop.yaml": b"x: 1\n"}
        for minute in reversed(dumps):  # export has the newest first
            members[f"memory/{name_of(minute)}"] = dump_of(
                minute, leak=1000 + 50_000 * minute, cache=70_000
            )
        members |= {"shop-binary": b"\x7fELF", "binaries/libz.so.1": b"\x7fELFz", **more}
        if complete:
            members["manifest.json"] = b"{}"
        (tmp_path / name).write_bytes(packed(tar_of(members), name))
        return name

    return write


def packed(content, name):
    if name.endswith(".zst"):
        return zstandard.compress(content)
    if name.endswith(".gz"):
        return gzip.compress(content)
    return content
