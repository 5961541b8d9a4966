import sys

from endoscope_memory import facts
from endoscope_profiles import jemalloc_heap


def test_what_is_written_in_front_is_read_back():
    given = {"service": "shop", "odd": "50% of\nüber\x7f"}
    dump = (
        b"--- symbol\n" + facts.preface(given) + b"---\n--- heap\nheap_v2/1\n\nMAPPED_LIBRARIES:\n"
    )
    profile = jemalloc_heap.parse(dump)
    assert (profile.facts, profile.binary) == (given, sys.executable)


def test_resident_memory_follows_what_is_touched():
    before = facts.resident_bytes()
    kept = bytearray(b"x") * 50_000_000
    assert facts.resident_bytes() - before > 40_000_000
    assert len(kept) == 50_000_000
