import mmap
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
    # A mapping of its own: what malloc gives may be resident from an earlier owner.
    with mmap.mmap(-1, 50_000_000, mmap.MAP_PRIVATE) as kept:
        kept.write(b"x" * len(kept))
        assert facts.resident_bytes() - before > 40_000_000
