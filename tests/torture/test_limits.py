"""Where memory, or the stack, comes to an end."""

import pytest

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]


def test_memory_runs_out_time_and_again(program):
    refused, dumped, failed, held = program("""
import resource
room = 60_000_000
def address_space():
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmSize"))
dump()
descriptor = os.open(folder.directory, os.O_TMPFILE | os.O_RDWR)
resource.setrlimit(resource.RLIMIT_AS, (address_space() + room, -1))
counts = [0, 0, 0]
def fill():
    kept = []
    try:
        while True: kept.append([bytearray(3000), [1], {}, str(len(kept))])
    except MemoryError:
        counts[0] += 1
        # At the limit: it succeeds, or says that there is no memory, and is whole again.
        try: native.part.write_dump(descriptor, b"", int(sys.argv[3]), None); counts[1] += 1
        except (OSError, MemoryError): counts[2] += 1
rounds = 0
while rounds < 10 or more() and rounds < 100:
    # Python itself may find no memory at any place, also where it handles that.
    try: fill()
    except MemoryError: pass
    rounds += 1
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
profiler.start(Wish(discard=True))
def leak(): return [bytes(1000) for _ in range(4000)]
kept = leak()
found = dump().samples
answer(*counts, sum(s.bytes for s in found if any(f.function == "leak" for f in s.stack)))""")
    assert refused >= 10
    assert dumped + failed > 0
    assert 4000 * 1033 * 0.8 < held < 4000 * 1280 * 1.2  # as asked for, or as malloc rounds it


def test_deep_recursion(program):
    (deepest,) = program("""
sys.setrecursionlimit(60_000)
threading.stack_size(512 << 20)
def down(n):
    kept = bytearray(600)
    if n == 0: agree(); return 0
    if n % 1000 == 0: agree()
    return 1 + down(n - 1)
def through_c(n):
    kept = bytearray(600)
    if n == 0: agree(); return 0
    return 1 + max(map(through_c, [n - 1]))
def forever(): kept = bytearray(600); return forever()
reached = []
def on_a_big_stack(n):
    while more():
        reached.append(down(40_000) + through_c(5_000))
        for depth in (1, 100, 120, 125, 126, 127, 128, 129, 130, 300): down(depth)
        try: forever()
        except RecursionError: pass
        dump()
on_threads(1, on_a_big_stack)
answer(max(reached))""")
    assert deepest == 45_000
