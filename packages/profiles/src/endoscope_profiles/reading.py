"""Reads a profile whatever it is stored as: plain, gzip or zstd; jemalloc's format or pprof."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from endoscope_profiles import compression, jemalloc_heap, limits, other_formats
from endoscope_profiles.jemalloc_heap import Names, NativeAddresses, NativeNames
from endoscope_profiles.model import Profile
from endoscope_profiles.profile_error import NotExpectedError, ProfileError
from endoscope_profiles.source import Source, pieces

_HEAP = re.compile(rb"heap_v2/|--- *symbol")
_HEAP_CUT_OFF = (b"heap_v2/", b"--- symbol")

# A pprof profile begins with any of its 14 fields (Go's with its period or its time), and so
# with a byte that is that field's number and how it is stored: as a number or with a length.
# Many of these bytes are letters, but what follows is no text.
_FIELDS = bytes(field << 3 | stored for field in range(1, 15) for stored in (0, 2))
_PPROF = re.compile(rb"(?s)[%b][\t\n\r -~]{0,62}[^\t\n\r -~]" % re.escape(_FIELDS))


def read(
    source: Source,
    *,
    threads: bool = False,
    native_names: NativeNames | None = None,
    names: Names | None = None,
) -> Profile:
    """Return the profile that `source` holds. Raises `ProfileError`.

    `source` is bytes, a map of a file (`mmap`), a binary file or an iterable of pieces of
    bytes, as it is or compressed with gzip or zstd. A dump is read piece by piece, in memory of
    its different stacks; a pprof profile must be in memory as a whole.

    `threads`, `native_names` and `names` are those of `jemalloc_heap.parse`, and are about dumps:
    a pprof profile comes with its names, and its threads are not told apart.
    """
    beginning, text = _text(source)
    if _is_pprof(beginning):
        return _read_pprof(text)
    return jemalloc_heap.parse(text, threads=threads, native_names=native_names, names=names)


def native_addresses(source: Source) -> NativeAddresses:
    """Return the addresses of native code in `source`, for `read`'s `native_names`.

    That is none for a pprof profile. `source` is what `read` takes; a file is read to its end,
    and must be opened or wound back for `read`. Raises `ProfileError`.
    """
    beginning, text = _text(source)
    if _is_pprof(beginning):
        return NativeAddresses((), (), {})
    return jemalloc_heap.native_addresses(text)


def _text(source: Source) -> tuple[bytes, Iterator[bytes]]:
    """Return how the decompressed text begins, and all of it."""
    beginning, stored = _peek(pieces(source))
    if compressed := compression.recognise(beginning):
        return _peek(pieces(compression.decompress(compressed, stored)))
    return beginning, stored


def _peek(arriving: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    beginning = b""
    try:
        while len(beginning) < other_formats.BEGINNING_BYTES and (piece := next(arriving, b"")):
            beginning += piece
    except NotExpectedError as error:
        return beginning, chain((beginning,), _failing(error))
    return beginning, chain((beginning,), arriving)


def _failing(error: NotExpectedError) -> Iterator[bytes]:
    yield from ()
    raise error


def _is_pprof(beginning: bytes) -> bool:
    """Tell pprof from a dump. Raises `ProfileError` if it is neither."""
    cut_off = any(begin.startswith(beginning) for begin in _HEAP_CUT_OFF)
    if cut_off or _HEAP.match(beginning):
        return False
    if not other_formats.recognise(beginning) and _PPROF.match(beginning):
        return True
    raise ProfileError(other_formats.expected_instead_of(beginning), 1, 0, cut_off=False)


def _read_pprof(text: Iterator[bytes]) -> Profile:
    from endoscope_profiles import pprof

    data = bytearray()
    try:
        for piece in text:
            data += piece
            _check_size(len(data))
    except NotExpectedError as error:
        raise ProfileError(error.expected, 0, len(data), error.cut_off) from None
    return pprof.parse(bytes(data))


def _check_size(size: int) -> None:
    if size > limits.PPROF_BYTES:
        raise NotExpectedError(f"at most {limits.PPROF_BYTES:,} bytes of pprof")
