"""What must hold of any bytes whatever: a profile whose numbers are numbers, or a `ProfileError`.

Each target takes bytes and raises if they break a promise. `fuzz.py` hunts for such bytes, and
`test_replay.py` tries those that were worth keeping.
"""

from __future__ import annotations

import gzip
import math

import zstandard
from messages import message

from endoscope_profiles import Profile, ProfileError, compression, jemalloc_heap, pprof, reading

_PIECES = (1, 7, 64)


def reading_anything(data):
    """Read a file of whatever kind; compressed it is the same, and so is what jemalloc's holds."""
    told = _told(reading.read, data)
    _told(reading.native_addresses, data)
    if compression.recognise(data) is None:
        for compressed in (gzip.compress(data, 1, mtime=0), zstandard.compress(data, 1)):
            assert _told(reading.read, compressed) == told


def reading_a_dump(data):
    """Read a dump: however it arrives, whether it is for its names or its threads; write it."""
    told = _told(jemalloc_heap.parse, data)
    if isinstance(told, Profile):
        pprof.write(told)
    for size in _PIECES:
        arriving = (data[at : at + size] for at in range(0, len(data), size))
        assert _told(jemalloc_heap.parse, arriving) == told
    _same_outcome(told, _told(jemalloc_heap.native_addresses, data))
    _same_sums(told, _told(_threads, data))


def reading_pprof(data):
    """Read a pprof profile, and write it."""
    for stored in (data, message(data)):
        told = _told(pprof.parse, stored)
        if isinstance(told, Profile):
            pprof.write(told)


TARGETS = {target.__name__: target for target in (reading_anything, reading_a_dump, reading_pprof)}


def _threads(data):
    return jemalloc_heap.parse(data, threads=True)


def _told(read, data):
    """Return what came of it: an object, or what the error says."""
    try:
        told = read(data)
    except ProfileError as error:
        return _said(error)
    if isinstance(told, Profile):
        _check(told)
    return told


def _said(error):
    assert error.expected in str(error)
    assert error.line >= 0
    assert error.offset >= 0
    return str(error)


def _check(profile):
    numbers = [profile.bytes, profile.objects, profile.bytes_error, profile.objects_error]
    assert all(map(math.isfinite, numbers)), numbers
    assert all(sample.stack for sample in profile.samples)
    assert len({sample.stack for sample in profile.samples}) == len(profile.samples)


def _same_outcome(told, other):
    if isinstance(told, str) or isinstance(other, str):
        assert told == other


def _same_sums(told, by_thread):
    if isinstance(told, Profile) and isinstance(by_thread, Profile):
        for name in ("bytes", "objects", "bytes_error", "objects_error"):
            assert math.isclose(getattr(told, name), getattr(by_thread, name), rel_tol=1e-9)
