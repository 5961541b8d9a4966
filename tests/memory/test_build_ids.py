"""The build ids that a dump records, against what binutils reads from the files."""

import re
import struct
import subprocess

import pytest

from endoscope_memory import native

pytestmark = pytest.mark.skipif(native.obstacle() is not None, reason="no native part")

KEEPER = """
#include <stdlib.h>
void *keep(void) { void *block = malloc(100000); return block ? block : keep(); }
"""

DUMP = """
import ctypes, json, os, sys
from pathlib import Path
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.profilers.jemalloc import JemallocProfiler
from endoscope_memory.settings import MemorySettings
from endoscope_memory.wish import Wish
from endoscope_profiles import jemalloc_heap

directory, stacks, library = sys.argv[1:4]
folder = DumpFolder(Path(directory))
profiler = JemallocProfiler(MemorySettings(stacks=stacks))
keeper = ctypes.CDLL(library)
AFTER_LOADING
profiler.start(Wish())
for _ in range(50):
    keeper.keep()
with folder.draft() as draft, folder.draft() as scratch:
    profiler.dump(draft, scratch, {})
    dump = draft.path.read_bytes()
Path(directory, "kept.prof").write_bytes(dump)
functions = {frame.function for sample in jemalloc_heap.parse(dump).samples
             for frame in sample.stack}
print(json.dumps([dict(jemalloc_heap.parse(dump).build_ids), "keep" in functions]))
"""


@pytest.fixture(scope="module")
def build(compiled):
    def build(*flags):
        return compiled("libkeeper.so.1.2", KEEPER, *flags)

    return build


@pytest.fixture
def recorded(under_jemalloc, folder):
    """Return the build ids of a dump with a library's frames in it, by path."""

    def run(library, stacks="mixed", after_loading=""):
        snippet = DUMP.replace("AFTER_LOADING", after_loading)
        build_ids, is_seen = under_jemalloc(snippet, folder, stacks, library).answer
        assert is_seen is (stacks != "python")
        return build_ids

    return run


def build_id(path):
    try:
        notes = subprocess.run(
            ["readelf", "--notes", "--wide", path], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("no readelf")
    return re.search(r"Build ID: ([0-9a-f]+)", notes.stdout)[1]


@pytest.mark.parametrize("stacks", ["mixed", "native"])
def test_those_of_all_libraries_in_stacks(recorded, build, stacks):
    library = build("-Wl,--build-id=sha1")
    found = recorded(library, stacks)
    absolute = {path: given for path, given in found.items() if path.startswith("/")}
    assert absolute == {path: build_id(path) for path in absolute}
    assert found[str(library)] == build_id(library)
    assert len(set(found.values())) > 1  # the interpreter's too


def test_a_library_has_its_own_under_both_of_its_names(recorded, build, tmp_path):
    library = build("-Wl,--build-id=sha1")
    link = tmp_path / "libkeeper.so.1"
    link.symlink_to(library)
    found = recorded(link)
    assert found[str(link)] == found[str(library)] == build_id(library)
    assert list(found).index(str(link)) < list(found).index(str(library))


def test_it_is_of_what_was_loaded_and_not_of_what_took_its_place(recorded, build):
    library, other = build("-Wl,--build-id=sha1"), build("-O2", "-Wl,--build-id=sha1")
    before = build_id(library)
    assert build_id(other) != before
    found = recorded(library, after_loading=f"os.replace({str(other)!r}, {str(library)!r})")
    assert found[str(library)] == before
    assert not [path for path in found if path.endswith("(deleted)")]


def test_a_library_without_one_has_none(recorded, build):
    library = build("-Wl,--build-id=none")
    found = recorded(library)
    assert str(library) not in found
    assert found


@pytest.mark.parametrize("given", ["0x0123", "0x" + "ab" * 64])
def test_one_of_any_length(recorded, build, given):
    library = build(f"-Wl,--build-id={given}")
    assert recorded(library)[str(library)] == given.removeprefix("0x")


def test_one_that_is_too_long_is_left_out(recorded, build):
    library = build("-Wl,--build-id=0x" + "ab" * 65)
    assert str(library) not in recorded(library)


def test_python_s_stacks_need_none(recorded, build):
    assert recorded(build("-Wl,--build-id=sha1"), "python") == {}


NOTES = 4  # PT_NOTE


def change_notes(library, address=None, size=None):
    """Let the library's program headers claim other places and sizes of its notes."""
    content = bytearray(library.read_bytes())
    start, entry, number = struct.unpack_from("<Q", content, 32)[0], 56, content[56]
    for at in range(start, start + entry * number, entry):
        if struct.unpack_from("<I", content, at)[0] == NOTES:
            if address is not None:
                struct.pack_into("<Q", content, at + 16, address)
            if size is not None:
                struct.pack_into("<QQ", content, at + 32, size, size)
    library.write_bytes(content)


@pytest.mark.parametrize(
    "claim",
    [
        {"address": 1 << 40},
        {"address": 2**64 - 4096},
        {"size": 1 << 40},
        {"size": 2**64 - 1},
        {"size": 11},
        {"address": 0},
    ],
)
def test_headers_are_not_believed(recorded, build, claim):
    library = build("-Wl,--build-id=sha1")
    change_notes(library, **claim)
    assert str(library) not in recorded(library)


def test_jeprof_passes_them_over(recorded, build, folder):
    recorded(build("-Wl,--build-id=sha1"))
    command = ["jeprof", "--text", "--show_bytes", str(folder / "kept.prof")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("jeprof is not installed: apt-get install libjemalloc-dev")
    assert re.search(r"\bkeep\b", done.stdout)
    assert "build_id" not in done.stdout
