"""The sampler in a process of its own, since its hooks stay for ever."""

import pytest

PRELUDE = """
import json, os, sys, threading, tracemalloc, zlib
from pathlib import Path
from endoscope import RequestError
from endoscope_memory import native
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.profilers.sampler import SamplerProfiler
from endoscope_memory.settings import MemorySettings
from endoscope_memory.wish import Wish
from endoscope_profiles import jemalloc_heap

folder = DumpFolder(Path(sys.argv[1]))
sampler = SamplerProfiler(MemorySettings(sample_interval_bytes=4096, overhead_budget_percent=0))

def leak(blocks, size):
    return [bytearray(size) for _ in range(blocks)]

def profile():
    with folder.draft() as draft, folder.draft() as scratch:
        sampler.dump(draft, scratch, {"service": "shop"})
        return jemalloc_heap.parse(draft.path.read_bytes())

def live(profile, name="leak"):
    mine = [s for s in profile.samples if any(frame.function == name for frame in s.stack)]
    return round(sum(s.bytes for s in mine) / 1000)

def answer(*values):
    print(json.dumps(values))
"""


@pytest.fixture
def sampled(plain, folder):
    def run(snippet, **environment):
        return plain(PRELUDE + snippet, folder, **environment).answer

    return run


def test_it_is_available_everywhere_and_says_what_it_sees(sampled):
    answer = sampled("""
answer(sampler.name, sampler.availability.available, sampler.active,
       sampler.sample_interval_bytes, sampler.coverage.python_frames, sampler.allocator())""")
    assert answer == ["sampler", True, False, 4096, True, None]


def test_nothing_is_sampled_before_the_first_start(sampled):
    assert sampled("kept = leak(1000, 5000); answer(len(profile().samples))") == [0]


def test_it_is_installed_only_when_started(sampled):
    assert sampled("""
before = native.part.sampler_facts()["attached"]
sampler.start(Wish())
answer(before, native.part.sampler_facts()["attached"])""") == [False, True]


def test_live_memory_is_found_and_freed_memory_is_not(sampled):
    held, freed = sampled("""
sampler.start(Wish())
kept = leak(1000, 5000)
held = live(profile())
del kept
answer(held, live(profile()))""")
    assert held == pytest.approx(5000, rel=0.1)
    assert freed == 0


def test_a_stop_keeps_the_samples_and_what_follows_is_not_seen(sampled):
    first, second, third, fourth = sampled("""
sampler.start(Wish())
kept = leak(1000, 5000)
sampler.stop()
first = live(profile())
more = leak(1000, 5000)
second = live(profile())
sampler.start(Wish())
again = leak(1000, 5000)
third = live(profile())
del kept
answer(first, second, third, live(profile()))""")
    assert first == second == pytest.approx(5000, rel=0.1)
    assert third == pytest.approx(10000, rel=0.1)
    assert fourth == pytest.approx(5000, rel=0.1)


def test_the_interval_changes_at_any_time_and_each_sample_keeps_its_own(sampled):
    intervals, total, header, coarsest = sampled("""
sampler.start(Wish())
kept = leak(2000, 5000)
intervals = [sampler.sample_interval_bytes]
sampler.start(Wish(sample_interval_bytes=65536))
intervals.append(sampler.sample_interval_bytes)
kept += leak(2000, 5000)
found = profile()
answer(intervals, live(found), found.interval_bytes, found.facts["coarsest_interval_bytes"])""")
    assert intervals == [4096, 65536]
    assert total == pytest.approx(20000, rel=0.25)
    assert (header, coarsest) == (4096, "65536")


def test_discarding_throws_away_and_begins_anew(sampled):
    assert sampled("""
sampler.start(Wish())
kept = leak(1000, 5000)
sampler.start(Wish(discard=True))
answer(live(profile()), sampler.active)""") == [0, True]


def test_the_budget_makes_the_interval_longer_and_shorter_again(sampled):
    busy, settled, later = sampled("""
import time
settings = MemorySettings(sample_interval_bytes=64, overhead_budget_percent=1)
sampler = SamplerProfiler(settings)
def work(seconds, allocate):
    until = time.process_time() + seconds
    while time.process_time() < until:
        allocate()
sampler.start(Wish())
work(1.5, lambda: leak(100, 50))
busy = sampler.sample_interval_bytes
before = native.part.sampler_facts()["nanoseconds"]
work(1.5, lambda: leak(100, 50))
settled = (native.part.sampler_facts()["nanoseconds"] - before) / 1.5e9
block = bytes(1_000_000)
work(4, lambda: zlib.crc32(block) and leak(1, 50))
answer(busy, settled, sampler.sample_interval_bytes)""")
    assert busy > 64
    assert settled < 0.03
    assert later < busy


def test_the_facts_of_a_dump(sampled):
    binary, service = sampled("""
sampler.start(Wish())
found = profile()
answer(found.binary == sys.executable, found.facts["service"])""")
    assert (binary, service) == (True, "shop")


def test_threads_are_sampled_under_their_own_stacks(sampled):
    sizes = sampled("""
sampler.start(Wish())
kept, ready, go = [], threading.Barrier(9), threading.Event()
def one(size):
    exec(compile(f"def only_{size}(): return [bytearray({size}) for _ in range(500)]", "x", "exec"),
         scope := {})
    kept.append(scope[f"only_{size}"]())
    ready.wait(); go.wait()
threads = [threading.Thread(target=one, args=(size,)) for size in range(2000, 10000, 1000)]
[thread.start() for thread in threads]
ready.wait()
found = profile()
go.set()
[thread.join() for thread in threads]
answer(*(live(found, f"only_{size}") for size in range(2000, 10000, 1000)))""")
    for found, size in zip(sizes, range(2000, 10000, 1000), strict=True):
        assert found == pytest.approx(size / 2, rel=0.25)


def test_tracemalloc_above_it_comes_and_goes(sampled):
    attached, held, freed = sampled("""
sampler.start(Wish())
tracemalloc.start()
kept = leak(1000, 5000)
tracemalloc.stop()
attached = native.part.sampler_facts()["attached"]
held = live(profile())
del kept
answer(attached, held, live(profile()))""")
    assert attached
    assert held == pytest.approx(5000, rel=0.1)
    assert freed == 0


def test_tracemalloc_that_was_there_first_takes_it_out_and_that_is_said(sampled):
    caveat, remedy, attached, held = sampled("""
tracemalloc.start()
sampler.start(Wish())
kept = leak(1000, 5000)
tracemalloc.stop()
caveat, = sampler.availability.caveats
sampler.start(Wish())
kept = leak(500, 5000)
answer(caveat.message, caveat.remedy, native.part.sampler_facts()["attached"], live(profile()))""")
    assert "removed the sampler's hooks" in caveat
    assert "Start profiling again" in remedy
    assert attached
    assert held == pytest.approx(2500, rel=0.15)


def test_it_survives_a_fork_and_samples_on_in_both(sampled):
    child, parent = sampled("""
sampler.start(Wish())
kept = leak(1000, 5000)
read, write = os.pipe()
if os.fork() == 0:
    kept += leak(1000, 5000)
    os.write(write, str(live(profile())).encode())
    os._exit(0)
os.wait()
answer(int(os.read(read, 100)), live(profile()))""")
    assert child == pytest.approx(10000, rel=0.1)
    assert parent == pytest.approx(5000, rel=0.1)


def test_a_failed_write_is_an_error(sampled):
    (number,) = sampled("""
sampler.start(Wish())
kept = leak(1000, 5000)
full = os.open("/dev/full", os.O_WRONLY)
try:
    native.part.write_dump(full, b"", 12, None)
except OSError as error:
    answer(error.errno)""")
    assert number == 28


def test_without_the_native_part_it_is_not_available(plain, folder, without_native):
    found = plain(
        without_native
        + PRELUDE
        + """
answer(sampler.availability.obstacles[0].message, sampler.active, sampler.sample_interval_bytes,
       sampler.cost.samples_taken)""",
        folder,
    ).answer
    assert "The native part of endoscope-memory is missing" in found[0]
    assert found[1:] == [False, None, None]


OWN_GIL = """
sampler.start(Wish()) if {first} else None
import _interpreters
interpreter = _interpreters.create("isolated")
try:
    sampler.start(Wish(sample_interval_bytes=8192))
    answer("started", "")
except RequestError as error:
    answer(error.status, error.message)
_interpreters.destroy(interpreter)
"""


@pytest.mark.parametrize("first", [True, False])
def test_an_interpreter_with_a_gil_of_its_own_is_refused(sampled, first):
    pytest.importorskip("_interpreters")
    status, message = sampled(OWN_GIL.format(first=first))
    assert status == 501
    assert "a GIL of its own" in message
