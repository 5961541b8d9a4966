"""Which file is taken for a library's, among several of one name and several of one build."""

import shutil
import subprocess
from pathlib import Path

import pytest

from endoscope_report import elf
from endoscope_report.binaries import Binaries, BinaryError, Places

NOWHERE = Places(debug_folders=())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a folder with two builds of a library, one also stripped and one's debug file."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "x.c").write_text("int x(int y) { return y + 1; }")
    commands = (
        "cc -g -shared -fPIC -Wl,--build-id=sha1 -o one x.c",
        "cc -shared -fPIC -Wl,--build-id=0x0123 -o two x.c",
        "cc -shared -fPIC -Wl,--build-id=none -o without x.c",
        "objcopy --only-keep-debug one one.only-debug",
        "strip -o one.stripped one",
    )
    try:
        for command in commands:
            subprocess.run(command.split(), cwd=folder, check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler, or no binutils")
    return folder


@pytest.fixture
def build_id(built):
    return elf.read(built / "one").build_id


@pytest.fixture
def library(tmp_path):
    """Return where the library was mapped from; its folder is there, and empty."""
    folder = tmp_path / "mapped"
    folder.mkdir()
    return folder / "libx.so.1"


def find(library, build_id, places=NOWHERE):
    found = Binaries(places).find(str(library), build_id)
    return found.code and found.code.path, found.symbols.path


def test_the_recorded_path_if_it_is_that_build(built, library, build_id):
    shutil.copy(built / "one", library)
    assert find(library, build_id) == (library, library)


def test_another_build_is_refused_and_both_are_named(built, library, build_id):
    shutil.copy(built / "two", library)
    with pytest.raises(BinaryError) as refused:
        find(library, build_id)
    assert str(refused.value) == (
        f"{library} here is another build (id 0123 instead of {build_id}): its names are not used."
    )


def test_so_is_one_without_an_id(built, library, build_id):
    shutil.copy(built / "without", library)
    with pytest.raises(BinaryError, match="without an id instead of"):
        find(library, build_id)


@pytest.mark.parametrize("content", [None, b"", b"#!/bin/sh\n"])
def test_one_that_is_not_here(library, build_id, content):
    if content is not None:
        library.write_bytes(content)
    with pytest.raises(BinaryError, match=f"^{library} is not here"):
        find(library, build_id)


def test_a_path_that_no_file_can_have(build_id):
    for path in ("/x\0y", "/" + "x" * 5000, "/"):
        with pytest.raises(BinaryError):
            Binaries(Places()).find(path, build_id)


def test_in_a_folder_a_file_of_any_name(built, library, build_id, tmp_path):
    deep = tmp_path / "archive" / "binaries"
    deep.mkdir(parents=True)
    own = shutil.copy(built / "one", deep / "0001")
    shutil.copy(built / "two", deep / "libx.so.1")
    places = Places((tmp_path / "archive",), ())
    assert find(library, build_id, places) == (own, own)


@pytest.mark.parametrize(
    "name", ["libx.so.1.debug", ".debug/libx.so.1.debug", "../debug/.build-id/{}/{}.debug"]
)
def test_debug_information_wherever_it_usually_lies(built, library, build_id, name):
    shutil.copy(built / "one.stripped", library)
    debug = library.parent / name.format(build_id[:2], build_id[2:])
    debug.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(built / "one.only-debug", debug)
    code, symbols = find(library, build_id, Places((), (library.parent / "../debug",)))
    assert code == library
    assert symbols.samefile(debug)


def test_debug_information_of_another_build_is_passed_over(built, library, build_id):
    shutil.copy(built / "one.stripped", library)
    shutil.copy(built / "two", library.with_name("libx.so.1.debug"))
    assert find(library, build_id) == (library, library)


def test_debug_information_alone(built, library, build_id, tmp_path):
    only = tmp_path / "only"
    only.mkdir()
    debug = shutil.copy(built / "one.only-debug", only)
    assert find(library, build_id, Places((only,), ())) == (None, Path(debug))


def test_without_a_recorded_id_a_name_has_to_do(built, library, tmp_path):
    shutil.copy(built / "two", library)
    assert find(library, "") == (library, library)
    folder = tmp_path / "archive"
    folder.mkdir()
    own = shutil.copy(built / "without", folder / library.name)
    assert find(library, "", Places((folder,), ())) == (own, own)


def test_then_the_file_s_own_id_leads_to_its_debug_information(built, library):
    shutil.copy(built / "one.stripped", library)
    debug = shutil.copy(built / "one.only-debug", library.with_name("libx.so.1.debug"))
    assert find(library, "") == (library, Path(debug))


def test_a_stripped_file_tells_less(built):
    kinds = {name: elf.read(built / name) for name in ("one", "one.stripped", "one.only-debug")}
    assert [kind.is_stripped for kind in kinds.values()] == [False, True, False]
    assert [kind.has_lines for kind in kinds.values()] == [True, False, True]
    assert [kind.has_code for kind in kinds.values()] == [True, True, False]
