"""Names, files and lines of native code, out of the binaries that ran.

A dump has the names that libraries export, and calls the rest by offsets. What is missing
stands in the libraries' debug information: on this machine, in an unpacked archive, in
Debian's packages of debug information. It is used only if it is of the very build that ran.
"""

from __future__ import annotations

import bisect
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from endoscope.errors import NotSupportedError
from endoscope_profiles.jemalloc_heap import NativeAddresses
from endoscope_profiles.model import Frame
from endoscope_report.binaries import Binaries, BinaryError, Found, Places
from endoscope_report.symbol_cache import SymbolCache
from endoscope_report.symbolizer import Limits, Place, SymbolizingError, symbolize


@dataclass(frozen=True, slots=True)
class NativeNames:
    """What was found.

    `frames`: for an address of the dump its frames, innermost first, several where calls were
    inlined; addresses without a name are left out. A frame has the source file and the line
    where the binary tells them, else its library and line 0, as in the dump.

    `notes`: what could not be named and why, each a sentence.
    """

    frames: Mapping[int, tuple[Frame, ...]]
    notes: tuple[str, ...]


def resolve(
    native: NativeAddresses,
    places: Places,
    cache: SymbolCache | None = None,
    limits: Limits | None = None,
) -> NativeNames:
    """Name a dump's native addresses from the binaries in `places`.

    Takes about 0.1 s for each library whose symcache is in `cache`, and up to a minute for one
    of many megabytes that is not. Raises `NotSupportedError` if the package that reads symbols
    is not installed; whatever is wrong with a binary is a note.
    """
    if find_spec("symbolic") is None:
        raise NotSupportedError(
            "Native names are read by the package symbolic, which is not installed",
            remedy="pip install 'endoscope-report[symbols]'",
        )
    names = _Names(Binaries(places), cache, limits or Limits())
    libraries = _libraries(native)
    for library in libraries:
        names.add(library)
    number = len(native.addresses)
    outside = number - sum(len(library.offsets) for library in libraries)
    if outside:
        names.notes.append(f"{outside} of {number} native addresses lie in no mapped file.")
    return NativeNames(names.frames, tuple(names.notes))


@dataclass(frozen=True, slots=True)
class _Library:
    """A library, and for each address of the dump that lies in it the offset in its file.

    `name` is what its frames in the dump have as their file, `path` what the kernel had mapped.
    `code_offset` is where in the file the mapped code begins.
    """

    name: str
    path: str
    build_id: str
    code_offset: int
    offsets: Mapping[int, int]

    def relative(self, found: Found) -> dict[int, int]:
        """Return the dump's addresses, each with its own from the first segment on."""
        if found.code is not None:
            elf = found.code.elf
            pairs = [(at, elf.relative(offset)) for at, offset in self.offsets.items()]
        else:
            elf, begin = found.symbols.elf, self.code_offset
            offsets = self.offsets.items()
            pairs = [(at, elf.relative_in_code(offset - begin)) for at, offset in offsets]
        return {at: own for at, own in pairs if own is not None and 0 <= own < 2**64}


def _libraries(native: NativeAddresses) -> list[_Library]:
    """Return the libraries that addresses lie in, by path."""
    mapped = sorted(native.mapped)
    starts = [each.start for each in mapped]
    offsets: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for address in native.addresses:
        file = mapped[bisect.bisect_right(starts, address) - 1] if mapped else None
        if file and file.start <= address < file.end:
            offsets[file.path][address] = address - file.start + file.offset
    begins = {each.path: each.offset for each in sorted(mapped, key=lambda each: -each.offset)}
    # Of the two names of a build, the one that the loader knows it by stands first.
    names = {build_id: name for name, build_id in reversed(list(native.build_ids.items()))}
    libraries = []
    for path in sorted(offsets):
        build_id = native.build_ids.get(path, "")
        name = names.get(build_id, path)
        libraries.append(_Library(name, path, build_id, begins[path], offsets[path]))
    return libraries


class _Names:
    """Collects what is found out about one library after the other."""

    def __init__(self, binaries: Binaries, cache: SymbolCache | None, limits: Limits) -> None:
        self._binaries = binaries
        self._cache = cache
        self._limits = limits
        self.frames: dict[int, tuple[Frame, ...]] = {}
        self.notes: list[str] = []

    def add(self, library: _Library) -> None:
        try:
            found = self._binaries.find(library.path, library.build_id)
            addresses = library.relative(found)
            places = self._look_up(found.symbols.path, list(addresses.values()))
        except BinaryError as error:
            self.notes.append(str(error))
            return
        except (SymbolizingError, OSError) as error:
            self.notes.append(f"{library.path} {error}: its names are not used.")
            return
        named = {at: each for at, each in zip(addresses, places, strict=True) if each}
        for address, inlined in named.items():
            self.frames[address] = tuple(_frame(place, library) for place in inlined)
        self.notes += _notes(library, found, len(named))

    def _look_up(self, file: Path, addresses: Sequence[int]) -> list[tuple[Place, ...]]:
        if self._cache is None:
            return symbolize(file, b"", addresses, self._limits).places
        key = _checksum(file)
        if symcache := self._cache.get(key):
            # Another version of the package may have made it, which this one cannot read.
            with suppress(SymbolizingError):
                return symbolize(file, symcache, addresses, self._limits).places
        places, made = symbolize(file, b"", addresses, self._limits)
        self._cache.put(key, made)
        return places


def _frame(place: Place, library: _Library) -> Frame:
    if place.file and place.line > 0:
        return Frame(place.function, place.file, place.line, library.name)
    return Frame(place.function, library.name)


def _checksum(path: Path) -> str:
    # Not the build id, which whoever makes a file can choose: it would name another's code.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _notes(library: _Library, found: Found, named: int) -> Iterator[str]:
    path, number = library.path, len(library.offsets)
    if not library.build_id:
        yield f"{path} is used unverified: the dump has no build id of it."
    if found.symbols.elf.is_stripped:
        yield f"{path} is stripped: only the names that it exports are known."
    if named < number:
        yield f"{path} has no name for {number - named} of {number} addresses in it."
