import pytest

from endoscope_memory.top import Place
from endoscope_memory.top import top as top_of
from endoscope_profiles import Frame, jemalloc_heap

LEAK = (Frame("leak", "/srv/app.py", 7), Frame("<module>", "/srv/app.py", 1))
NATIVE = (Frame("deflateInit2_", "/lib/libz.so.1"), *LEAK)
FACTS = {
    "profiler": "jemalloc",
    "sees": "everything",
    "profiling_since": "2026-11-23T10:00:00Z",
    "taken": "2026-11-23T10:05:00Z",
    "resident_bytes": "8000000",
    "allocated_bytes": "5000000",
}


def top(records, limit=10, facts=FACTS, interval=1000):
    dump = b"".join(jemalloc_heap.write(records, interval_bytes=interval, facts=facts))
    return top_of(jemalloc_heap.parse(dump), limit, ("a note",))


def test_the_whole_and_what_explains_it():
    found = top([(LEAK, 2, 2_000_000), (NATIVE, 1, 2_000_000)])
    assert (found.live_bytes, found.live_objects) == (4_000_000, 3)
    assert (found.resident_bytes, found.allocated_bytes, found.coverage) == (8000000, 5000000, 0.5)
    assert (found.profiler, found.sees) == ("jemalloc", "everything")
    assert (found.profiling_since, found.taken) == (FACTS["profiling_since"], FACTS["taken"])
    assert (found.sample_interval_bytes, found.notes) == (1000, ("a note",))


def test_the_biggest_come_first_and_their_number_is_limited():
    found = top([(LEAK, 1, 50_000), (NATIVE, 1, 150_000)], limit=1)
    (stack,) = found.stacks
    assert (stack.bytes, stack.share, found.stacks_in_all) == (150_000, 0.75, 2)
    assert stack.frames == (
        Place("deflateInit2_", "/lib/libz.so.1", None),
        Place("leak", "/srv/app.py", 7),
        Place("<module>", "/srv/app.py", 1),
    )


def test_small_blocks_are_scaled_up_and_their_error_is_told():
    (stack,) = top([(LEAK, 100, 1000)], interval=1_000_000).stacks
    assert stack.objects == pytest.approx(10_000_000, rel=0.001)
    assert stack.bytes == pytest.approx(100_000_000, rel=0.001)
    assert stack.bytes_error == pytest.approx(stack.bytes / 10, rel=0.001)  # of 100 samples
    assert stack.objects_error == pytest.approx(stack.objects / 10, rel=0.001)


def test_nothing_at_all():
    found = top([], facts={})
    assert (found.live_bytes, found.stacks, found.coverage, found.profiler) == (0, (), None, None)
