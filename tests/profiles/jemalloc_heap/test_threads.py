from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from dumps import heap, only, row
from endoscope_profiles import Frame
from endoscope_profiles.jemalloc_heap import parse


def test_the_row_of_all_threads_counts_alone():
    rows = [row(3, 30), row(1, 10, b"0"), row(2, 20, b"17")]
    assert (only(heap(([1], *rows))).objects, only(heap(([1], *rows[::-1]))).bytes) == (3, 30)


def test_without_it_the_threads_are_summed_and_then_unsampled():
    threads = heap(([1], row(1, 10, b"0"), row(2, 26, b"17")), interval=4096)
    assert parse(threads) == parse(heap(([1], row(3, 36)), interval=4096))


TWO_THREADS = (row(300, 60_000), row(200, 20_000, b"0"), row(100, 40_000, b"17"))
NAMED = b"  t17: 1: 1 [0: 0] router worker\n@"


def by_thread(dump):
    """Return what the threads hold, by the marker that each stack ends in."""
    samples = parse(dump, threads=True).samples
    assert len({sample.stack[-1] for sample in samples}) == len(samples)
    return {sample.stack[-1].function: sample for sample in samples}


def test_threads_are_told_apart_and_have_their_names():
    parts = by_thread(heap(([1, 2], *TWO_THREADS)).replace(b"@", NAMED))
    assert parts.keys() == {"[thread 0]", "[thread 17 router worker]"}
    assert parts["[thread 0]"].stack[:-1] == (Frame("0x1"), Frame("0x2"))
    assert (parts["[thread 0]"].objects, parts["[thread 17 router worker]"].bytes) == (200, 40_000)


def test_a_thread_s_part_is_unsampled_by_the_size_of_its_own_blocks():
    """Small blocks stand for more of them: 100 bytes against 400, so four times as many."""
    parts = by_thread(heap(([1], *TWO_THREADS), interval=2**20))
    assert parts["[thread 0]"].objects == pytest.approx(8 * parts["[thread 17]"].objects, rel=1e-3)
    assert parts["[thread 0]"].bytes == pytest.approx(2 * parts["[thread 17]"].bytes, rel=1e-3)


def test_threads_add_up_to_what_all_of_them_hold():
    dump = heap(([1], *TWO_THREADS), ([2], row(5, 100), row(6, 99, b"4")), interval=4096)
    told, parts = parse(dump), parse(dump, threads=True)
    assert len(parts.samples) == 3
    for number in ("objects", "bytes", "objects_error", "bytes_error"):
        assert getattr(parts, number) == pytest.approx(getattr(told, number), rel=1e-12)


@pytest.mark.parametrize("rows", [[row(2, 30)], [row(2, 30), row(0, 0, b"5")]])
def test_what_no_thread_is_counted_with_is_an_unknown_one_s(rows):
    assert by_thread(heap(([1], *rows)))["[unknown thread]"].bytes == 30


def test_threads_without_a_common_row_are_read():
    parts = by_thread(heap(([1], row(1, 10, b"0"), row(2, 26, b"17"))))
    assert [parts[f"[thread {thread}]"].bytes for thread in (0, 17)] == [10, 26]


# --- as jemalloc counts them ------------------------------------------------------------------

KEEP_AND_DUMP = """
import ctypes, sys, threading
libc = ctypes.CDLL(None)
if not hasattr(libc, "mallctl"):
    sys.exit(77)
text = lambda string: ctypes.byref(ctypes.c_char_p(string))
done = threading.Event()

def keep(name, blocks, size, ready):
    libc.mallctl(b"thread.prof.name", None, None, text(name), ctypes.c_size_t(8))
    for _ in range(blocks):
        libc.malloc(ctypes.c_size_t(size))
    ready.set()
    done.wait()

for work in (b"small ones", 20000, 160), (b"large ones", 4000, 1024):
    ready = threading.Event()
    threading.Thread(target=keep, args=(*work, ready), daemon=True).start()
    ready.wait()
libc.mallctl(b"prof.dump", None, None, text(sys.argv[1].encode()), ctypes.c_size_t(8))
"""


@pytest.fixture(scope="module")
def dump_with_threads(tmp_path_factory):
    """Return jemalloc's dump of a process with two named threads that malloc in one line."""
    file = tmp_path_factory.mktemp("threads") / "real.heap"
    jemalloc = {"LD_PRELOAD": "libjemalloc.so.2", "MALLOC_CONF": "prof:true,lg_prof_sample:12"}
    command = [sys.executable, "-c", KEEP_AND_DUMP, file]
    subprocess.run(command, env={**os.environ, **jemalloc}, check=False, timeout=60)
    if not file.exists():
        pytest.skip("no libjemalloc with profiling is installed: apt-get install libjemalloc2")
    return file.read_bytes()


def test_what_each_thread_of_a_real_process_holds_is_told(dump_with_threads):
    """Blocks of 160 bytes are sampled six times more rarely than those of 1,024."""
    held, variances = Counter(), Counter()
    for sample in parse(dump_with_threads, threads=True).samples:
        held[sample.stack[-1].function] += sample.bytes
        variances[sample.stack[-1].function] += sample.bytes_variance
    for thread, truth in (
        ("[thread 1 small ones]", 20_000 * 160),
        ("[thread 2 large ones]", 4_096_000),
    ):
        assert held[thread] == pytest.approx(truth, abs=5 * variances[thread] ** 0.5 + 50_000)


def test_the_threads_of_a_real_process_add_up(dump_with_threads):
    told, parts = parse(dump_with_threads), parse(dump_with_threads, threads=True)
    assert len({sample.stack[-1] for sample in parts.samples}) >= 3
    for number in ("objects", "bytes", "objects_error", "bytes_error"):
        assert getattr(parts, number) == pytest.approx(getattr(told, number), rel=1e-12)
