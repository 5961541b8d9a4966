from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from endoscope_export.mapped import MappedLibrary, mapped_libraries, parse_maps

MAPS = rb"""55d0a0000000-55d0a0001000 r--p 00000000 fd:01 11 /usr/bin/python3.11
55d0a0001000-55d0a0002000 r-xp 00001000 fd:01 11 /usr/bin/python3.11
7f0000000000-7f0000001000 rw-p 00000000 00:00 0 [heap]
7f1000000000-7f1000001000 r--p 00000000 fd:01 12 /usr/lib/libc.so.6
7f1000001000-7f1000002000 r-xp 00001000 fd:01 12 /usr/lib/libc.so.6
7f1000002000-7f1000003000 r-xp 00002000 fd:01 12 /usr/lib/libc.so.6
7f2000000000-7f2000001000 r--p 00000000 fd:01 13 /usr/share/locale.archive
7f3000000000-7f3000001000 r-xp 00000000 fd:01 14 /opt/two words/old.so (deleted)
7f4000000000-7f4000001000 r-xp 00000000 fd:01 15 /opt/line\012end.so
7f5000000000-7f5000001000 r-xp 00000000 00:00 0 [vdso]
7f6000000000-7f6000001000 r-xp 00000000 00:00 0
nonsense
"""


def test_files_with_code_are_found_once_each_and_the_executable_is_none_of_them():
    assert parse_maps(MAPS.splitlines(keepends=True), b"/usr/bin/python3.11") == [
        MappedLibrary(b"/opt/line\nend.so", "7f4000000000-7f4000001000"),
        MappedLibrary(b"/opt/two words/old.so", "7f3000000000-7f3000001000", deleted=True),
        MappedLibrary(b"/usr/lib/libc.so.6", "7f1000001000-7f1000002000"),
    ]


def test_this_process_has_libraries():
    executable = os.readlink(b"/proc/self/exe")
    libraries = {library.path: library for library in mapped_libraries(executable)}
    assert executable not in libraries
    libc = next(library for path, library in libraries.items() if b"/libc.so" in path)
    with libc.open() as file:
        assert file.read(4) == b"\x7fELF"


PROGRAM = """
import ctypes, os, sys
sys.path[:] = eval(sys.argv[2])
from endoscope_export.mapped import mapped_libraries
ctypes.CDLL(sys.argv[1])
os.remove(sys.argv[1])
found = [each for each in mapped_libraries(b"") if each.path == os.fsencode(sys.argv[1])]
(library,) = found
assert library.deleted
print(len(library.open().read()))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes the right to follow links of map_files")
def test_a_library_that_was_deleted_can_still_be_opened(tmp_path):
    paths = [Path(os.fsdecode(library.path)) for library in mapped_libraries(b"")]
    original = next(path for path in paths if path.name.startswith("libm.so"))
    copy = tmp_path / "libcopy.so"
    copy.write_bytes(original.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, copy, repr(sys.path)],
        capture_output=True,
        check=True,
        text=True,
    )
    assert int(done.stdout) == original.stat().st_size
