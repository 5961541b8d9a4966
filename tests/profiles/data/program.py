"""Keep memory in several ways, and dump the heap twice: `program.py FOLDER PROFILER STACKS`.

Writes `base.prof` and `target.prof`; between the two some memory is taken, and some given back.
`jemalloc` is to be preloaded, and switched on (`prof:true`) at an interval of 16 KiB.
"""

import os
import sys
import threading
import zlib
from datetime import UTC, datetime
from pathlib import Path

from endoscope_memory.dumps import DumpFolder
from endoscope_memory.profilers.jemalloc import JemallocProfiler
from endoscope_memory.profilers.sampler import SamplerProfiler
from endoscope_memory.profilers.tracemalloc import TracemallocProfiler
from endoscope_memory.settings import MemorySettings
from endoscope_memory.wish import Wish

INTERVAL = 16384
PROFILERS = {
    "jemalloc": JemallocProfiler,
    "sampler": SamplerProfiler,
    "tracemalloc": TracemallocProfiler,
}


class Cache:
    """Keeps what it is asked for, small objects and large ones."""

    def __init__(self):
        self.entries = {}

    def fill(self, first, last):
        for number in range(first, last):
            self.entries[number] = {"text": f"entry {number}", "body": bytes(500 + number % 3000)}

    def fill_below(self, depth, first, last):
        if depth:
            self.fill_below(depth - 1, first, last)
        else:
            self.entries[first] = [[number] for number in range(last - first)]

    def store(self, first, last):
        self.entries.update((number, [str(number)] * 90) for number in range(first, last))

    def drop(self, first, last):
        for number in range(first, last):
            del self.entries[number]


def compressors(count):
    return list(map(lambda level: zlib.compressobj(1 + level % 9), range(count)))  # noqa: C417


def in_threads(cache):
    work = [(depth, 10_000 * depth, 10_000 * depth + 3000) for depth in (5, 20, 40)]
    threads = [threading.Thread(target=cache.fill_below, args=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def now():
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def main(folder, profiler, stacks):
    settings = MemorySettings(
        sample_interval_bytes=INTERVAL, stacks=stacks, overhead_budget_percent=0
    )
    profiler = PROFILERS[profiler](settings)
    drafts = DumpFolder(Path(folder))
    since = now()

    def dump(name):
        facts = {
            "service": "shop",
            "python": sys.version.split()[0],
            "profiler": profiler.name,
            "sees": profiler.coverage.sees,
            "taken": now(),
            "profiling_since": since,
        }
        with drafts.draft() as draft, drafts.draft() as scratch:
            profiler.dump(draft, scratch, facts)
            (Path(folder) / name).write_bytes(draft.path.read_bytes())

    profiler.start(Wish())
    cache = Cache()
    cache.fill(0, 1500)
    in_threads(cache)
    kept = [compressors(10)]
    dump("base.prof")
    cache.drop(0, 700)
    cache.store(2000, 6000)
    kept.append(compressors(5))
    dump("target.prof")
    os._exit(0)  # nothing is left to do, and what is kept need not be taken apart


if __name__ == "__main__":
    main(*sys.argv[1:])
