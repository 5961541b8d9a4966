"""Native names, against addr2line, and in dumps of programs that were compiled for it."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("symbolic")

from endoscope.errors import NotSupportedError
from endoscope_profiles import Frame, jemalloc_heap
from endoscope_profiles.jemalloc_heap import MappedFile, NativeAddresses
from endoscope_report import elf
from endoscope_report.binaries import Places
from endoscope_report.native_names import resolve
from endoscope_report.symbol_cache import SymbolCache
from endoscope_report.symbolizer import Limits

SOURCE = """
#include <stdlib.h>
#include <string.h>
#define INLINE static inline __attribute__((always_inline))
void *kept[100];

INLINE void *take(size_t size) {
    void *block = malloc(size); /* in take */
    memset(block, 1, size);
    return block;
}
INLINE void *twice(size_t size) {
    return take(size * 2); /* in twice */
}
static __attribute__((noinline)) void *hidden(size_t size) {
    void *block = twice(size + 1); /* in hidden */
    return kept[size % 100] = block;
}
void *keep(size_t size) {
    void *block = hidden(size); /* in keep */
    if (size % 7 == 0) free(hidden(size + 3));
    return block;
}
int main(void) {
    for (size_t size = 10001; size < 10100; size++) keep(size); /* in main */
    return 0;
}
"""
INLINED = ["take", "twice", "hidden", "keep", "main"]
BIAS = 0x7F1230000000
NOWHERE = Places(debug_folders=())


def line_of(function):
    lines = SOURCE.splitlines()
    return next(n for n, line in enumerate(lines, 1) if f"/* in {function} */" in line)


def run(*command, **options):
    try:
        return subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=True, **options
        ).stdout
    except FileNotFoundError:
        pytest.skip(f"{command[0]} is not installed")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Compile the source with these options; each once."""
    built = {}

    def build(*options):
        if options not in built:
            folder = tmp_path_factory.mktemp("compiled")
            (folder / "keeper.c").write_text(SOURCE)
            run("cc", "-g", "-O2", *options, "-Wl,--build-id=sha1", "-o", "binary", "keeper.c",
                cwd=folder)  # fmt: skip
            run("objcopy", "--only-keep-debug", "binary", "binary.only-debug", cwd=folder)
            run("strip", "-o", "stripped", "binary", cwd=folder)
            built[options] = folder / "binary"
        return built[options]

    return build


LIBRARY = ("-shared", "-fPIC")
PRELINKED = (*LIBRARY, "-Wl,-Ttext-segment=0x7000000")
APART = (*LIBRARY, "-Wl,-z,separate-code", "-Wl,-z,max-page-size=0x200000")
TOGETHER = (*LIBRARY, "-Wl,-z,noseparate-code")
FIXED = ("-no-pie", "-fno-pie")
MOVABLE = ("-pie", "-fPIE")
KINDS = {
    "library": LIBRARY,
    "prelinked": PRELINKED,
    "apart": APART,
    "together": TOGETHER,
    "fixed": FIXED,
    "movable": MOVABLE,
}


def functions_of(binary):
    """Return every address inside of the source's functions, as the binary was linked."""
    rows = re.findall(r"^(\w+) (\w+) [tT] (\w+)", run("nm", "-S", binary), re.MULTILINE)
    own = [row for row in rows if row[2].partition(".")[0] in INLINED]
    return [
        at for start, size, _ in own for at in range(int(start, 16), int(start, 16) + int(size, 16))
    ]


def mapped(binary, path=None):
    """Return how the loader would map the binary's code, at `BIAS`."""
    rows = re.findall(
        r"LOAD +(0x\w+) +(0x\w+) +0x\w+ +(0x\w+) +0x\w+ R E", run("readelf", "-lW", binary)
    )
    parts = [[int(number, 16) for number in row] for row in rows]
    return tuple(
        MappedFile(
            BIAS + (address & -4096), BIAS + (address + size + 4095 & -4096), offset & -4096,
            str(path or binary),
        )
        for offset, address, size in parts
    )  # fmt: skip


def native(binary, addresses, path=None):
    """Return what a dump would say of calls at these addresses."""
    path = str(path or binary)
    return NativeAddresses(
        tuple(BIAS + address for address in addresses),
        mapped(binary, path),
        {path: elf.read(binary).build_id},
    )


def places_of(names):
    """Return functions, files and lines, without the library's name."""
    return {
        address: [frame._replace(library="") for frame in frames]
        for address, frames in names.frames.items()
    }


def by_addr2line(binary, addresses):
    """Return the frames as binutils has them, innermost first."""
    text = run("addr2line", "-aCfie", binary, input="\n".join(map(hex, addresses)))
    text = re.sub(r" \(discriminator \d+\)", "", text)
    found = []
    for block in re.split(r"^0x\w+\n", text, flags=re.MULTILINE)[1:]:
        rows = block.splitlines()
        places = [row.rpartition(":") for row in rows[1::2]]
        pairs = zip(rows[::2], places, strict=True)
        found.append(
            tuple(
                Frame(name.partition(".")[0], file, int(line), str(binary))
                for name, (file, _, line) in pairs
            )
        )
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_address_has_the_frames_that_binutils_finds(compiled, kind):
    binary = compiled(*KINDS[kind])
    addresses = functions_of(binary)
    assert len(addresses) > 100
    names = resolve(native(binary, addresses), NOWHERE)
    assert names.notes == ()
    found = [names.frames[BIAS + address] for address in addresses]
    assert found == by_addr2line(binary, addresses)
    assert max(map(len, found)) >= 3  # inlined ones are among them


@pytest.mark.parametrize("kind", KINDS)
def test_debug_information_elsewhere_gives_the_same(compiled, tmp_path, kind):
    binary = compiled(*KINDS[kind])
    addresses = functions_of(binary)
    whole = resolve(native(binary, addresses), NOWHERE)
    shutil.copy(binary.with_name("binary.only-debug"), tmp_path / "of-any-name")
    places = Places((tmp_path,), ())
    for path in (binary.with_name("stripped"), "/not/here/binary"):
        parted = resolve(native(binary, addresses, path), places)
        assert places_of(parted) == places_of(whole)
        assert parted.notes == ()


def test_a_stripped_library_keeps_what_it_exports_and_says_so(compiled):
    stripped = compiled(*LIBRARY).with_name("stripped")
    addresses = functions_of(compiled(*LIBRARY))
    names = resolve(native(stripped, addresses), NOWHERE)
    exported = {Frame("keep", str(stripped)), Frame("main", str(stripped))}
    assert {frame for frames in names.frames.values() for frame in frames} == exported
    missing = len(addresses) - len(names.frames)
    assert names.notes == (
        f"{stripped} is stripped: only the names that it exports are known.",
        f"{stripped} has no name for {missing} of {len(addresses)} addresses in it.",
    )


def test_frames_have_their_source_file_or_the_name_that_the_loader_knows(compiled):
    binary = compiled(*LIBRARY)
    asked = native(binary, functions_of(binary))
    build_id = asked.build_ids[str(binary)]
    loader = {"libkeeper.so.1": build_id, **asked.build_ids}  # the loader's name comes first
    names = resolve(asked._replace(build_ids=loader), NOWHERE)
    assert {frame.file for frames in names.frames.values() for frame in frames} == {
        str(binary.with_name("keeper.c"))
    }


# --- what cannot be named ---------------------------------------------------------------------


def test_another_build_is_not_used(compiled):
    binary, other = compiled(*LIBRARY), compiled(*LIBRARY, "-O1")
    asked = native(binary, functions_of(binary))._replace(
        build_ids={str(binary): elf.read(other).build_id}
    )
    names = resolve(asked, NOWHERE)
    assert names.frames == {}
    assert len(names.notes) == 1
    assert "here is another build" in names.notes[0]


def test_without_a_recorded_id_it_is_used_and_said(compiled):
    binary = compiled(*LIBRARY)
    asked = native(binary, functions_of(binary))
    names = resolve(asked._replace(build_ids={}), NOWHERE)
    assert names.frames == resolve(asked, NOWHERE).frames
    assert names.notes == (f"{binary} is used unverified: the dump has no build id of it.",)


def test_addresses_outside_of_any_file_are_counted(compiled):
    binary = compiled(*LIBRARY)
    asked = native(binary, [0])
    outside = asked.mapped[0].end
    asked = asked._replace(addresses=(outside, 5, 2**64 - 1))
    assert resolve(asked, NOWHERE).notes == ("3 of 3 native addresses lie in no mapped file.",)
    asked = asked._replace(mapped=())
    assert resolve(asked, NOWHERE).notes == ("3 of 3 native addresses lie in no mapped file.",)


def test_a_worker_that_dies_costs_the_names_of_one_library(compiled):
    binary = compiled(*LIBRARY)
    asked = native(binary, functions_of(binary))
    names = resolve(asked, NOWHERE, limits=Limits(memory_bytes=1_000_000))
    assert names.frames == {}
    (note,) = names.notes
    assert note.startswith(f"{binary} ")
    assert note.endswith(": its names are not used.")


def test_without_the_package_that_reads_symbols(monkeypatch):
    monkeypatch.setitem(sys.modules, "symbolic", None)
    with pytest.raises(NotSupportedError) as missing:
        resolve(NativeAddresses((), (), {}), NOWHERE)
    assert "pip install 'endoscope-report[symbols]'" in missing.value.remedy


# --- the cache --------------------------------------------------------------------------------


def test_a_second_time_the_symcache_is_used(compiled, tmp_path):
    binary = compiled(*LIBRARY)
    asked, cache = native(binary, functions_of(binary)), SymbolCache(tmp_path)
    first = resolve(asked, NOWHERE, cache)
    (entry,) = tmp_path.iterdir()
    os.utime(entry, (1000, 1000))
    assert resolve(asked, NOWHERE, cache) == first
    assert entry.stat().st_mtime > 1000  # read, and not written again
    assert [file.name for file in tmp_path.iterdir()] == [entry.name]


def test_one_that_cannot_be_used_is_made_again(compiled, tmp_path):
    binary = compiled(*LIBRARY)
    asked, cache = native(binary, functions_of(binary)), SymbolCache(tmp_path)
    first = resolve(asked, NOWHERE, cache)
    (entry,) = tmp_path.iterdir()
    good = entry.read_bytes()
    cache.put(entry.stem, b"a symcache of another version")
    assert resolve(asked, NOWHERE, cache) == first
    assert entry.read_bytes() == good
    entry.write_bytes(good[:-1])
    assert resolve(asked, NOWHERE, cache) == first
    assert entry.read_bytes() == good


# --- real programs ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Dumped:
    """What jemalloc wrote at the end of a program, and the functions of its stacks."""

    content: bytes

    def stacks(self, places):
        names = resolve(jemalloc_heap.native_addresses(self.content), places)
        profile = jemalloc_heap.parse(self.content, native_names=names.frames)
        return [sample.stack for sample in profile.samples], names


@pytest.fixture
def dumped(tmp_path):
    def dump(program):
        environment = {
            "LD_PRELOAD": "libjemalloc.so.2",
            "MALLOC_CONF": f"prof:true,prof_final:true,lg_prof_sample:0,prof_prefix:{tmp_path}/x",
        }
        subprocess.run([program], env=environment, check=True)
        written = list(tmp_path.glob("x.*.heap"))
        if not written:
            pytest.skip("no libjemalloc with profiling is installed")
        return Dumped(written[0].read_bytes())

    return dump


@pytest.mark.parametrize("kind", ["fixed", "movable"])
def test_a_real_program_s_stacks(compiled, dumped, kind):
    program = compiled(*KINDS[kind])
    stacks, names = dumped(program).stacks(NOWHERE)
    source = str(program.with_name("keeper.c"))
    expected = [Frame(name, source, line_of(name), str(program)) for name in INLINED]
    runs = [[frame for frame in stack if frame.file == source] for stack in stacks]
    assert expected in runs
    assert f"{program} is used unverified: the dump has no build id of it." in names.notes


# CPython's own, whatever way it was built.
EXPORTED = (
    "PyList_New", "PyDict_New", "PyObject_Repr", "PyUnicode_AsUTF8AndSize", "PyImport_AddModule",
    "PyLong_FromString", "PyErr_NewException", "PyTuple_Pack", "PyEval_EvalCodeEx", "PySet_New",
    "PyFloat_FromString", "PyRun_StringFlags", "PyObject_CallFunction", "PySys_SetObject",
)  # fmt: skip


def test_cpython_s_own_functions():
    maps = re.findall(
        r"^(\w+)-(\w+) r-xp (\w+) \S+ \d+ +(/.*)$",
        Path("/proc/self/maps").read_text(),
        re.MULTILINE,
    )
    files = tuple(MappedFile(*(int(n, 16) for n in row[:3]), row[3]) for row in maps)
    starts = {
        ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value: name
        for name in EXPORTED
    }
    names = resolve(NativeAddresses(tuple(starts), files, {}), NOWHERE)
    found = {starts[at]: frames[-1].function for at, frames in names.frames.items()}
    assert found == {name: name for name in EXPORTED}
