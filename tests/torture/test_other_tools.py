"""tracemalloc and memray, switched on and off around us in every order."""

import itertools
import json

import pytest

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1200)]

# Each letter switches one on, or off the second time: S is ours, T tracemalloc, M memray.
PROGRAM = """
import contextlib, faulthandler, json, os, sys, tempfile, tracemalloc
faulthandler.enable()
from pathlib import Path
from endoscope import NotSupportedError
from endoscope_memory import native
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.profilers.jemalloc import JemallocProfiler
from endoscope_memory.profilers.sampler import SamplerProfiler
from endoscope_memory.settings import MemorySettings
from endoscope_memory.wish import Wish
from endoscope_profiles import jemalloc_heap

order, kind, lg_interval = sys.argv[1:]
folder = DumpFolder(Path(tempfile.mkdtemp(dir=os.environ["TMPDIR"])))
settings = MemorySettings(sample_interval_bytes=1 << int(lg_interval), overhead_budget_percent=0,
                          stacks="mixed" if kind == "mixed" else "python")
profiler = SamplerProfiler(settings) if kind == "sampler" else JemallocProfiler(settings)

class Memray:
    def start(self):
        import memray
        path = folder.directory / f"{len(os.listdir(folder.directory))}.bin"
        self._tracker = memray.Tracker(path, trace_python_allocators=True)
        self._tracker.__enter__()
    def stop(self): self._tracker.__exit__(None, None, None)

class Ours:
    def start(self):
        with contextlib.suppress(NotSupportedError): profiler.start(Wish())
    def stop(self): profiler.stop()

def work():
    kept = [bytearray(n) for n in range(2000)] + [[n] for n in range(3000)]
    for block in kept[:2000]:
        block.extend(b"x" * 600)
        del block[3:]
    return kept

tools, on, kept = {"S": Ours(), "T": tracemalloc, "M": Memray()}, set(), []
for letter in order:
    if letter in on: tools[letter].stop(); on.remove(letter)
    else: tools[letter].start(); on.add(letter)
    kept.append(work())
    if len(kept) > 2: del kept[0]
held = 0
if "S" in order:
    # Whatever they have done to it: who starts it again sees again.
    profiler.start(Wish(discard=True))
    def leak(): return [bytes(1000) for _ in range(4000)]
    leaked = leak()
    with folder.draft() as draft, folder.draft() as scratch:
        profiler.dump(draft, scratch, {})
        found = jemalloc_heap.parse(draft.path.read_bytes()).samples
    held = sum(s.bytes for s in found if any(f.function == "leak" for f in s.stack))
print(json.dumps(held))
"""

ORDERS = sorted(
    {"".join(order) for tools in ("ST", "SM", "STM") for order in itertools.permutations(2 * tools)}
)


@pytest.mark.parametrize("tools", ["ST", "SM", "STM"])
def test_tools_come_and_go_in_every_order(way, needed, tmp_path, tools):
    if "M" in tools:
        needed("memray")

    def run(order):
        command = ["-c", PROGRAM, order, way.kind, str(way.lg_interval)]
        return way.run(command, 60, TMPDIR=str(tmp_path))

    wrong, without_us = {}, {}
    for order in (each for each in ORDERS if set(each) == set(tools)):
        done = run(order)
        if done.returncode == 0:
            held = json.loads(done.stdout)
            if not 4000 * 1033 * 0.8 < held < 4000 * 1280 * 1.2:  # malloc rounds it up
                wrong[order] = held
            continue
        # memray and tracemalloc together crash in some orders, whoever else is there.
        others = order.replace("S", "")
        if others not in without_us:
            without_us[others] = run(others).returncode
        if without_us[others] == 0:
            wrong[order] = (done.returncode, done.stderr[-1500:])
    assert wrong == {}
