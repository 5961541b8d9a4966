"""Files that are no heap profile, but that people have at hand: what each is, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from endoscope_profiles import compression

BEGINNING_BYTES = 512
"""Every format here shows in so many bytes."""

_EXPECTED = "a heap profile (jemalloc's heap_v2, with or without names in front, or pprof)"


class OtherFormat(NamedTuple):
    """A format by how its files begin; `what` they are, and the `remedy` for having one."""

    begins: tuple[bytes, ...]
    what: str
    remedy: str


_TAR = OtherFormat((), "a tar archive", "unpack it, and take a profile out of it")
_TAR_MAGIC_AT = 257

_COMPRESSED_TWICE = OtherFormat((), "a file that was compressed twice", "decompress it once")
_UNKNOWN = OtherFormat((), "this", "see what wrote it")

_FORMATS = (
    OtherFormat(
        (b"heap profile:",),
        "gperftools' format, or Go's text",
        "convert it: go tool pprof -proto -output=FILE.pb.gz FILE",
    ),
    OtherFormat((b"memray",), "memray's capture file", "open it with memray's own commands"),
    OtherFormat((b"\x80",), "a pickle, as tracemalloc writes", "take a dump instead"),
    OtherFormat((b"PERFILE2",), "perf's recording", "it holds no heap: take a dump instead"),
    OtherFormat((b"PK\x03\x04",), "a zip archive", "unpack it, and take a profile out of it"),
    OtherFormat((b"\x7fELF",), "a program", "give the dump that it wrote"),
    OtherFormat(
        (b"\xfd7zXZ\x00", b"BZh", b"\x04\x22\x4d\x18"),
        "a file that xz, bzip2 or lz4 compressed",
        "decompress it; gzip and zstd are read as they are",
    ),
    OtherFormat((b"{", b"["), "JSON", "give the profile that it was made from"),
    OtherFormat(
        (b"<",), "a web page", "give the profile that it was made from, or download it anew"
    ),
)


def recognise(beginning: bytes) -> OtherFormat | None:
    """Return the format of a file that begins like this; None if it is not one of these."""
    if compression.recognise(beginning):
        return _COMPRESSED_TWICE
    if beginning.startswith(b"ustar", _TAR_MAGIC_AT):
        return _TAR
    return next((known for known in _FORMATS if beginning.startswith(known.begins)), None)


def expected_instead_of(beginning: bytes) -> str:
    """Return what was expected of a file that begins like this, and what to do with that one."""
    found = recognise(beginning) or _UNKNOWN
    return f"{_EXPECTED}, not {found.what} ({found.remedy})"
