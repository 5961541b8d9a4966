"""Where a frame's code comes from: whose package, and of what kind."""

from __future__ import annotations

import enum
import re
from functools import lru_cache

from endoscope_profiles.model import Frame

THREAD = "[thread "
"""How the marker frame begins that stands outermost in the stack of a known thread."""

PROCESS = "[process "
"""The same of a process, where profiles of several were added up."""

_INSTALLED = re.compile(r"(?:^|[/\\])(?:site|dist)-packages[/\\]([^/\\]+)")
_STANDARD = re.compile(
    r"(?:^|[/\\])[Ll]ib(?:64)?[/\\](?:python3\.\d+t?[/\\])(?:lib-dynload[/\\])?([^/\\]+)"
)
_FROZEN = re.compile(r"<frozen ([^>]*)>")
_INTERPRETER = re.compile(r"(?:lib)?python3?(?:\.\d+)?t?(?:\.so.*)?")
_ALLOCATOR_LIBRARY = re.compile(r"lib(?:jemalloc|tcmalloc|mimalloc)[^/]*")
_ALLOCATOR_FUNCTION = re.compile(
    r"(?:je_|__libc_)?(?:m|c|re|v|pv|aligned_)alloc|(?:posix_)?memalign|operator new.*|_Zn[aw].*"
    r"|_?Py(?:Mem|Object)_(?:Raw|Debug)*(?:M|C|Re)alloc|_PyObject_(?:M|C|Re)alloc|pymalloc_\w+"
)
_NATIVE_SOURCE = re.compile(r".*\.(?:c|cc|cpp|cxx|h|hh|hpp|rs|pyx|go|S)")


class Origin(enum.Enum):
    """Whose code a frame is. The values are the words that people type and read."""

    APPLICATION = "application"
    PACKAGE = "package"  # installed, under site-packages
    STANDARD_LIBRARY = "standard library"
    INTERPRETER = "interpreter"  # CPython's C code and frozen modules
    ALLOCATOR = "allocator"
    NATIVE = "native"  # any other C code
    MARKER = "marker"  # stands for frames that are not there


@lru_cache(maxsize=65536)
def origin(frame: Frame) -> Origin:
    """Return whose code `frame` is, as far as its names tell."""
    if not frame.file:
        return Origin.NATIVE if frame.function.startswith(("0x", "+0x")) else Origin.MARKER
    if _is_native(frame):
        return _native_origin(frame)
    if _FROZEN.fullmatch(frame.file):
        return Origin.INTERPRETER
    if _INSTALLED.search(frame.file):
        return Origin.PACKAGE
    return Origin.STANDARD_LIBRARY if _STANDARD.search(frame.file) else Origin.APPLICATION


@lru_cache(maxsize=65536)
def package(frame: Frame) -> str:
    """Return the name by which people know where `frame` belongs.

    The distribution's folder or module under site-packages, the top-level module of the
    standard library, the file name of a native library, and the folder of anything else.
    """
    if not frame.file:
        return frame.function
    if frame.library:
        return frame.library.rpartition("/")[2]
    found = _INSTALLED.search(frame.file) or _STANDARD.search(frame.file)
    if found:
        return found[1].removesuffix(".py").split(".cpython-")[0]
    if frozen := _FROZEN.fullmatch(frame.file):
        return frozen[1].split(".")[0]
    folder, _, name = frame.file.rpartition("/")
    return name if frame.line == 0 or not folder else folder


def thread(frame: Frame) -> str:
    """Return the thread that an outermost frame stands for, empty if for none."""
    return frame.function[1:-1] if frame.function.startswith(THREAD) else ""


def process(frame: Frame) -> str:
    """Return the process that an outermost frame stands for, empty if for none."""
    return frame.function[1:-1] if frame.function.startswith(PROCESS) else ""


def _is_native(frame: Frame) -> bool:
    return bool(frame.library or frame.line == 0 or _NATIVE_SOURCE.fullmatch(frame.file))


def _native_origin(frame: Frame) -> Origin:
    library = (frame.library or frame.file).rpartition("/")[2]
    if _ALLOCATOR_LIBRARY.fullmatch(library) or _ALLOCATOR_FUNCTION.fullmatch(frame.function):
        return Origin.ALLOCATOR
    return Origin.INTERPRETER if _INTERPRETER.fullmatch(library) else Origin.NATIVE
