"""Whether what a dump says is true: known amounts at known places, over and over.

An estimate comes with its standard error. Over many repetitions its mean must be the truth, and
its distance from the truth, in standard errors, of the size of one. The bounds are so wide that
chance alone goes beyond them less often than once in a million runs of a test; a miscount by a
tenth is far outside of them.
"""

import math

import pytest

PROGRAM = """
import ctypes, json, os, sys, threading
from itertools import cycle
from pathlib import Path
from endoscope_memory import native
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.profilers.jemalloc import JemallocProfiler
from endoscope_memory.profilers.sampler import SamplerProfiler
from endoscope_memory.settings import MemorySettings
from endoscope_memory.wish import Wish
from endoscope_profiles import jemalloc_heap

folder, kind = DumpFolder(Path(sys.argv[1])), sys.argv[2]
settings = MemorySettings(sample_interval_bytes=2048, overhead_budget_percent=0)
profiler = SamplerProfiler(settings) if kind == "sampler" else JemallocProfiler(settings)

def allocator(name, *arguments):
    function = ctypes.pythonapi[name]
    function.argtypes, function.restype = arguments, ctypes.c_void_p
    return function

size_t, block_t = ctypes.c_size_t, ctypes.c_void_p
malloc, object_malloc = allocator("PyMem_Malloc", size_t), allocator("PyObject_Malloc", size_t)
calloc = allocator("PyMem_Calloc", size_t, size_t)
object_calloc = allocator("PyObject_Calloc", size_t, size_t)
realloc = allocator("PyMem_Realloc", block_t, size_t)
object_realloc = allocator("PyObject_Realloc", block_t, size_t)
free, object_free = allocator("PyMem_Free", block_t), allocator("PyObject_Free", block_t)

def of_malloc(size):  # what a block of malloc's counts as: jemalloc rounds it up
    return size if kind == "sampler" else ctypes.CDLL(None).nallocx(size_t(size), 0)

def of_python(size):  # the same of one that is pymalloc's, if that is in use
    return of_malloc(size) if os.environ.get("PYTHONMALLOC") == "malloc" else size

def profile():
    with folder.draft() as draft, folder.draft() as scratch:
        profiler.dump(draft, scratch, {"service": "shop"})
        return jemalloc_heap.parse(draft.path.read_bytes())

def found(profile, name):
    mine = [sample for sample in profile.samples if sample.stack[0].function == name]
    return [sum(s.bytes for s in mine), sum(s.bytes_variance for s in mine) ** 0.5]

def answer(*values):
    print(json.dumps(values))
"""

CASES = """
THREADS, ROUNDS = int(sys.argv[3]), 24
MANY, FEW, SOME = 4000 // THREADS, 200 // THREADS, 1200 // THREADS
NEVER = 1 << 62

def holds(truth):  # counted afterwards: a number made on the way would be an allocation, too
    def noted(case):
        case.truth = truth
        return case
    return noted

@holds(lambda: MANY * of_python(192))
def small(at):
    for i in range(MANY): at[i] = malloc(192)

@holds(lambda: SOME * of_python(512))
def just_small(at):
    for i in range(SOME): at[i] = object_malloc(512)

@holds(lambda: SOME * of_malloc(640))
def large(at):
    for i in range(SOME): at[i] = malloc(640)

@holds(lambda: FEW * of_malloc(3072))
def larger(at):
    for i in range(FEW): at[i] = object_malloc(3072)

@holds(lambda: SOME // 2 * (of_python(192) + of_malloc(640)))
def mixed(at):
    for i, size in zip(range(SOME), cycle((192, 640))): at[i] = malloc(size)

@holds(lambda: MANY * of_python(192))
def cleared(at):
    for i in range(MANY // 2): at[i] = calloc(8, 24)
    for i in range(MANY // 2, MANY): at[i] = object_calloc(24, 8)

@holds(lambda: SOME * of_malloc(640))
def grown(at):
    for i in range(SOME): at[i] = realloc(malloc(192), 640)

@holds(lambda: MANY * of_malloc(192))
def shrunk(at):
    for i in range(MANY): at[i] = realloc(malloc(640), 192)

@holds(lambda: 2 * SOME * of_malloc(133))
def received(at):
    for i in range(SOME): at[i] = realloc(malloc(65569), 133)
    for i in range(SOME, 2 * SOME): at[i] = object_realloc(object_malloc(65569), 133)

@holds(lambda: MANY * of_malloc(192))
def to_and_fro(at):
    for i in range(MANY): at[i] = object_realloc(object_realloc(object_malloc(192), 640), 192)

@holds(lambda: MANY * of_python(193))
def in_place(at):
    for i in range(MANY): at[i] = realloc(malloc(200), 193)

@holds(lambda: MANY * of_python(192))
def moved(at):
    for i in range(MANY): at[i] = object_realloc(object_malloc(64), 192)

@holds(lambda: MANY * of_python(192))
def too_much(at):
    for i in range(MANY):
        at[i] = malloc(192)
        if realloc(at[i], NEVER): raise SystemExit("there is that much memory")

@holds(lambda: MANY // 2 * of_python(192))
def half_freed(at):
    for i in range(MANY): at[i] = malloc(192)
    for i in range(0, MANY, 2): free(at[i]); at[i] = None

@holds(lambda: 0)
def all_freed(at):
    for i in range(MANY): free(malloc(192))
    for i in range(SOME): free(malloc(640))

BEFORE = [small, just_small, large, larger, mixed, cleared, grown, all_freed]
AFTER = [shrunk, received, to_and_fro, in_place, moved, too_much, half_freed]
blocks = {case: [(block_t * MANY)() for _ in range(THREADS)] for case in BEFORE + AFTER}

def unseen(at):  # in the stop between
    for i in range(MANY // 2): at[i] = realloc(at[i], 200)
    for i in range(MANY // 2, MANY): at[i] = malloc(192)

def changed(at):  # before it; nothing is left of it but what was there before
    for i in range(MANY // 2): at[i] = malloc(192)

between = [(block_t * MANY)() for _ in range(THREADS)]
gate = threading.Barrier(THREADS + 1)

def run(cases):  # on all threads at once
    global current
    current = cases
    gate.wait(); gate.wait()

def work(number):
    while True:
        gate.wait()
        for case in current:
            case(blocks.get(case, between)[number])
        gate.wait()

def drop(arrays):
    for at in arrays:
        for i in range(MANY): free(at[i]); at[i] = None

for number in range(THREADS):
    threading.Thread(target=work, args=(number,), daemon=True).start()

run(blocks)  # pymalloc's tables of its own arenas grow, and stay
for arrays in blocks.values(): drop(arrays)
rows = {case.__name__: [] for case in blocks}
for _ in range(ROUNDS):
    profiler.start(Wish())
    run([*BEFORE, changed])
    profiler.stop()
    run([unseen])
    profiler.start(Wish())
    run(AFTER)
    profiler.stop()
    seen = profile()
    for case in blocks:
        rows[case.__name__].append([*found(seen, case.__name__), case.truth() * THREADS])
    for arrays in (*blocks.values(), between): drop(arrays)
nothing = [found(seen, name)[0] for seen, name in ((seen, "changed"), (seen, "unseen"))]
after = profile()
nothing += [found(after, name)[0] for name in rows]
answer(rows, nothing)
"""


@pytest.fixture(params=["sampler", "both", "jemalloc"])
def program(request, folder):
    """Run a snippet under the sampler alone, with jemalloc, or with all blocks jemalloc's."""
    kind = request.param
    run = request.getfixturevalue("plain" if kind == "sampler" else "under_jemalloc")
    environment = {"MALLOC_CONF": "prof:true,prof_active:false,lg_prof_sample:11"}
    if kind == "jemalloc":
        environment["PYTHONMALLOC"] = "malloc"

    def start(snippet, *arguments):
        return run(PROGRAM + snippet, folder, kind, *arguments, **environment).answer

    return start


@pytest.fixture
def sampled(plain, folder):
    def start(snippet):
        return plain(PROGRAM + snippet, folder, "sampler").answer

    return start


def distances(rows):
    """Return how far each estimate is from the truth, in the error that it states."""
    return [(estimate - truth) / error for estimate, error, truth in rows]


def bias(rows):
    """Return how far the mean of all is from the truth, in its standard error."""
    off = math.fsum(estimate - truth for estimate, _, truth in rows)
    return off / math.sqrt(math.fsum(error * error for _, error, _ in rows))


def rms(values):
    return math.sqrt(math.fsum(value * value for value in values) / len(values))


@pytest.mark.parametrize("threads", [1, 8])
def test_each_block_is_counted_once(program, threads):
    rows, nothing = program(CASES, threads)
    assert [row[:2] for row in rows.pop("all_freed")] == [[0, 0]] * 24
    # Now and then one small object that Python keeps for itself was sampled.
    assert sum(each > 0 for each in nothing) <= 1
    assert {name: bias(each) for name, each in rows.items() if abs(bias(each)) > 5.5} == {}
    every = [distance for each in rows.values() for distance in distances(each)]
    assert sum(abs(distance) > 3 for distance in every) < 0.03 * len(every)
    assert 0.8 < rms(every) < 1.2


INTERVALS = """
def early(at, sizes):
    for i, size in zip(range(len(at)), cycle(sizes)): at[i] = malloc(size)

def late(at, sizes):
    for i, size in zip(range(len(at)), cycle(sizes)): at[i] = malloc(size)

arrays, sizes = [(block_t * 6000)() for _ in range(2)], (64, 192, 400, 1000)
rows = {"early": [], "late": []}
for _ in range(30):
    profiler.start(Wish(sample_interval_bytes=4096))
    early(arrays[0], sizes)
    profiler.start(Wish(sample_interval_bytes=16384))
    late(arrays[1], sizes)
    profiler.stop()
    seen = profile()
    for name in rows: rows[name].append([*found(seen, name), 1500 * sum(sizes)])
    for at in arrays:
        for i in range(len(at)): free(at[i])
answer(rows, seen.facts["coarsest_interval_bytes"])
"""


def expected_error(number, sizes, interval):
    """Return the standard error of the bytes of `number` blocks of each size."""
    chances = [(size, -math.expm1(-size / interval)) for size in sizes]
    return math.sqrt(sum(number * size * size * (1 - p) / p for size, p in chances))


def test_intervals_that_change_within_a_dump(sampled):
    rows, coarsest = sampled(INTERVALS)
    assert coarsest == "16384"
    for name, interval in {"early": 4096, "late": 16384}.items():
        error = expected_error(1500, (64, 192, 400, 1000), interval)
        assert abs(bias([(estimate, error, truth) for estimate, _, truth in rows[name]])) < 5.5
        assert rms([stated for _, stated, _ in rows[name]]) > 0.9 * error
        assert rms(distances(rows[name])) < 1.75


THINNED = """
def early(at):
    for i in range(len(at)): at[i] = malloc(64)

def late(at):
    for i in range(len(at)): at[i] = malloc(64)

arrays, rows = [(block_t * 300_000)() for _ in range(2)], []
profiler.start(Wish(sample_interval_bytes=64))
early(arrays[0]); late(arrays[1])
facts, seen = native.part.sampler_facts(), profile()
held = [found(seen, "early"), found(seen, "late")]
for at in arrays:
    for i in range(len(at)): free(at[i])
seen = profile()
answer(facts, held, found(seen, "early")[0] + found(seen, "late")[0])
"""


def test_where_there_are_too_many_samples_they_are_thinned_out_and_none_is_lost(sampled):
    facts, held, after = sampled(THINNED)
    assert facts["lg_interval"] == 7
    assert facts["lost"] == 0
    assert facts["live"] <= 2**18
    for estimate, error in held:
        assert abs(estimate - 300_000 * 64) < 5.5 * error < 0.02 * estimate
    assert after == 0


TRACED = """
import collections, fractions, tracemalloc
text = json.dumps([{"name": f"n{i}", "values": [i] * (i % 9), "more": {"x": i / 7}}
                   for i in range(1500)])

def parsed(): return [json.loads(text) for _ in range(3)]
def counted(): return [collections.Counter(f"{i}{i * i}") for i in range(2000)]
def divided(): return [fractions.Fraction(i, 7919) for i in range(6000)]
def joined(): return [b"." * (i % 1500) for i in range(1500)]
def appended():
    lists = [[] for _ in range(300)]
    for i in range(50_000): lists[i * i % 300].append(i)
    return lists

everything = [parsed, counted, divided, joined, appended]
profiler.start(Wish())
tracemalloc.start(10)
kept = [one() for one in everything]
del kept[1][::2], kept[2][::3], kept[3][::4]
exact = tracemalloc.take_snapshot().traces
tracemalloc.stop()
seen, rows = profile(), {}
for one in everything:
    line = one.__code__.co_firstlineno
    own = range(line, line + 4 if one is appended else line + 1)
    truth = sum(trace.size for trace in exact
                if any(f.filename == "<string>" and f.lineno in own for f in trace.traceback))
    mine = [s for s in seen.samples if any(f.file == "<string>" and f.line in own for f in s.stack)]
    rows[one.__name__] = [sum(s.bytes for s in mine), sum(s.bytes_variance for s in mine) ** 0.5,
                          truth]
answer(rows)
"""


def test_a_programs_objects_are_as_many_bytes_as_tracemalloc_counts(sampled):
    (rows,) = sampled(TRACED)
    assert min(truth / error for _, error, truth in rows.values()) > 10
    assert {name: row for name, row in rows.items() if abs(bias([row])) > 5.5} == {}


# --- what was wrong once ----------------------------------------------------------------------


def test_gigabytes_that_jemalloc_does_not_know(program):
    (live,) = program("""
import mmap
reserved = [mmap.mmap(-1, 3 << 30) for _ in range(2)]
profiler.start(Wish())
kept = [bytes(400) for _ in range(100_000)]
kept = [bytes(2 * len(block)) for block in kept]
answer(sum(sample.bytes for sample in profile().samples) > 80e6)""")
    assert live


def test_names_of_code_that_lies_where_other_code_was(sampled):
    files, functions = sampled("""
def wrong(name, source, file, place):
    seen = []
    def probe(): seen.append(native.part.walk(True)[1])
    exec(compile(source, file, "exec"), {"probe": probe})
    return seen[0][place] != name
files = (f"/srv/app/file_{number:06}.py" for number in range(10_000))
functions = (f"function_{number:06}" for number in range(10_000))
answer(sum(wrong(name, "probe()", name, 1) for name in files),
       sum(wrong(name, f"def {name}():\\n probe()\\n{name}()", "x", 0) for name in functions))""")
    assert (files, functions) == (0, 0)


def test_tracemalloc_comes_and_goes_many_times(sampled):
    attached, live = sampled("""
import tracemalloc
attached = []
def leak(): return [bytes(1000) for _ in range(4000)]
for _ in range(20):
    tracemalloc.start()
    profiler.start(Wish())
    tracemalloc.stop()
    profiler.start(Wish())
    attached.append(native.part.sampler_facts()["attached"])
kept = leak()
answer(attached, sum(s.bytes for s in profile().samples
                     if any(f.function == "leak" for f in s.stack)))
""")
    assert attached == [True] * 20
    assert live == pytest.approx(4000 * 1033, rel=0.15)


def test_a_subinterpreter_on_another_thread(sampled):
    pytest.importorskip("_xxsubinterpreters")
    created, freed, other, gone = sampled("""
import _xxsubinterpreters as interpreters
one, live = interpreters.create(), lambda: native.part.sampler_facts()["live"]
profiler.start(Wish(sample_interval_bytes=64))
def run(source): interpreters.run_string(one, source)
def on_a_thread(source):
    thread = threading.Thread(target=run, args=(source,))
    thread.start(); thread.join()
counts = [live()]
for how, source in ((run, "x = [[i] for i in range(9000)]"), (on_a_thread, "del x"),
                    (on_a_thread, "x = [[i] for i in range(9000)]"), (run, "del x")):
    how(source)
    counts.append(live())
answer(*(after - before for before, after in zip(counts, counts[1:])))""")
    assert min(created, other) > 5000
    assert max(freed, gone) < -5000


@pytest.mark.parametrize(
    "path", ["/x/caf\udce9.py", "/x/" + "a" * 1100 + ".py", "/x/" + "a" * 994 + ".py", "", "x\0y"]
)
def test_the_self_check_in_a_file_of_any_name(plain, path):
    difference = plain(f"""
import json
from endoscope_memory import native
scope = {{"native": native}}
code = compile("found = native._difference()", "x", "exec")
exec(code.replace(co_filename={path!r}), scope)
print(json.dumps(scope["found"]))""").answer
    assert difference == ""


@pytest.mark.parametrize("allocator", ["pymalloc", "debug"])
def test_what_debugging_adds_to_a_block_does_not_make_two_of_one(under_jemalloc, folder, allocator):
    objects, error = under_jemalloc(
        PROGRAM
        + """
def take(at):
    for i in range(len(at)): at[i] = malloc(500)
profiler.start(Wish())
take(at := (block_t * 20_000)())
mine = [sample for sample in profile().samples if sample.stack[0].function == "take"]
answer(sum(s.objects for s in mine), sum(s.objects_variance for s in mine) ** 0.5)""",
        folder,
        "both",
        PYTHONMALLOC=allocator,
    ).answer
    assert abs(objects - 20_000) < 5.5 * error
