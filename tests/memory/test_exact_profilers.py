"""tracemalloc and memray: what they record, and that what they knew outlives a stop."""

import pytest

PRELUDE = """
import json, os, sys, tracemalloc, zlib
from pathlib import Path
from endoscope import RequestError
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.profilers.memray import MemrayProfiler
from endoscope_memory.profilers.tracemalloc import TracemallocProfiler
from endoscope_memory.settings import MemorySettings
from endoscope_memory.wish import Wish
from endoscope_profiles import jemalloc_heap

folder = DumpFolder(Path(sys.argv[1]))
profilers = {"tracemalloc": TracemallocProfiler(MemorySettings()),
             "memray": MemrayProfiler(folder.directory)}
profiler = profilers[sys.argv[2]]

def leak(blocks, size):
    return [bytearray(size) for _ in range(blocks)]

def profile():
    with folder.draft() as draft, folder.draft() as scratch:
        profiler.dump(draft, scratch, {"service": "shop"})
        return jemalloc_heap.parse(draft.path.read_bytes())

def live():
    # The kilobytes that leak() holds.
    own = [s for s in profile().samples if any(f.file == "<string>" for f in s.stack)]
    return round(sum(sample.bytes for sample in own if sample.bytes > 100_000) / 1000)

def answer(*values):
    print(json.dumps(values))
"""


@pytest.fixture(params=["tracemalloc", "memray"])
def exact(request, plain, folder):
    pytest.importorskip(request.param)

    def run(snippet):
        return plain(PRELUDE + snippet, folder, request.param).answer

    run.name = request.param
    run.folder = folder
    return run


def test_it_is_exact_and_says_so(exact):
    name, available, active, interval, cost = exact("""
answer(profiler.name, profiler.availability.available, profiler.active,
       profiler.sample_interval_bytes, profiler.cost.expected)""")
    assert (name, available, active, interval) == (exact.name, True, False, 1)
    assert "dear" in cost


def test_live_memory_to_the_block(exact):
    held, freed = exact("""
profiler.start(Wish())
kept = leak(1000, 5000)
held = live()
del kept
answer(held, live())""")
    assert 5000 <= held <= 5200  # with the objects' heads
    assert freed == 0


def test_what_was_known_outlives_a_stop(exact):
    active, held, active_again = exact("""
profiler.start(Wish())
profiler.start(Wish())
kept = leak(1000, 5000)
profiler.stop()
profiler.stop()
kept += leak(1000, 5000)
was_active, held = profiler.active, live()
profiler.start(Wish())
answer(was_active, held, profiler.active)""")
    assert (active, active_again) == (False, True)
    assert 5000 <= held <= 5200


def test_another_interval_is_refused(exact):
    status, code = exact("""
try:
    profiler.start(Wish(sample_interval_bytes=4096))
except RequestError as error:
    answer(error.status, error.code)""")
    assert (status, code) == (409, "interval_is_fixed")


def test_discarding_begins_anew(exact):
    assert exact("""
profiler.start(Wish())
kept = leak(1000, 5000)
profiler.start(Wish(discard=True))
answer(live(), profiler.active)""") == [0, True]


def test_a_dump_before_the_first_start_is_empty(exact):
    assert exact("answer(len(profile().samples))") == [0]


def test_tracemalloc_of_the_host_is_not_stopped(plain, folder):
    snippet = """
tracemalloc.start()
profiler.start(Wish())
profiler.stop()
answer(tracemalloc.is_tracing())"""
    assert plain(PRELUDE + snippet, folder, "tracemalloc").answer == [True]


def test_memray_names_the_function_and_keeps_one_capture_beside_the_dumps(plain, folder):
    pytest.importorskip("memray")
    functions, captures = plain(
        PRELUDE
        + """
for _ in range(2):
    profiler.start(Wish())
    kept = [leak(1000, 5000), zlib.compressobj()]
    found = profile()
    profiler.stop()
answer([frame.function for frame in found.samples[0].stack],
       [path.name for path in folder.directory.iterdir()])""",
        folder,
        "memray",
    ).answer
    assert "leak" in functions
    (capture,) = captures
    assert capture.endswith(".memray")
    assert (folder / capture).stat().st_mode & 0o777 == 0o600


def test_memray_that_is_not_installed_says_how_to_get_it(plain, folder):
    snippet = (
        "import sys; sys.modules['memray'] = None\n"
        + PRELUDE
        + "answer(profiler.availability.obstacles[0].remedy, profiler.sample_interval_bytes)"
    )
    remedy, interval = plain(snippet, folder, "memray").answer
    assert remedy == "pip install 'endoscope-memory[memray]'"
    assert interval is None


def test_memray_that_is_in_use_already_is_said(plain, folder):
    pytest.importorskip("memray")
    snippet = """
import memray
with memray.Tracker(folder.directory / "mine.bin"):
    try:
        profiler.start(Wish())
    except RequestError as error:
        found = [error.status, error.message, profiler.active]
answer(*found)"""
    status, message, active = plain(PRELUDE + snippet, folder, "memray").answer
    assert (status, active) == (409, False)
    assert "memray cannot begin" in message
