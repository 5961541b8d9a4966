"""The walker's stacks are Python's own, wherever an allocation can happen."""

import pytest

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]


def test_coroutines_and_asynchronous_generators(program):
    (rounds,) = program("""
import asyncio, contextlib
async def generate(n):
    for i in range(n):
        agree(); yield allocate(i)
        await asyncio.sleep(0); agree()
@contextlib.asynccontextmanager
async def context(n): agree(); yield n; agree()
async def down(n):
    kept = allocate(n)
    if n: return await down(n - 1)
    async with context(n):
        agree(); return [each async for each in generate(3)]
async def worker(n):
    for depth in (1, 20, 140): await down(depth)
    await asyncio.to_thread(lambda: (allocate(n), agree()))
async def main():
    async with asyncio.TaskGroup() as group:
        for n in range(50): group.create_task(worker(n))
    cut_short = [asyncio.create_task(worker(n)) for n in range(20)]
    await asyncio.sleep(0)
    for task in cut_short: task.cancel()
    await asyncio.gather(*cut_short, return_exceptions=True)
rounds = 0
while more():
    asyncio.run(main()); dump(); rounds += 1
answer(rounds)""")
    assert rounds > 0


def test_generators_that_wander_between_threads(program):
    (steps,) = program("""
import queue
def inner(n):
    for i in range(n):
        kept = allocate(i); agree(); yield kept
def outer(n):
    try: yield from inner(n); yield from (allocate(i) for i in range(3) if agree() is None)
    finally: agree()
waiting, steps = queue.SimpleQueue(), []
def work(_):
    while more():
        try: one = waiting.get(timeout=0.1)
        except queue.Empty: continue
        if next(one, None) is None or len(steps) % 50 == 0: one = outer(len(steps) % 20)
        steps.append(None); waiting.put(one)
for n in range(40): waiting.put(outer(n % 20))
on_threads(6, work)
answer(len(steps))""")
    assert steps > 100


def test_finalizers_traces_and_exceptions(program):
    (rounds,) = program("""
import weakref
class Node:
    def __init__(self): self.own = self; self.kept = allocate(5)
    def __del__(self): agree(); allocate(9)
def trace(frame, event, argument): agree(); allocate(1); return trace
def fail(n):
    try:
        if n == 0: raise ValueError(allocate(3))
        fail(n - 1)
    except ValueError as error: agree(); raise KeyError(n) from error
    finally: agree()
def collected(_):
    for _ in range(100):
        node = Node(); weakref.finalize(node, lambda: (agree(), allocate(2)))
    gc.collect()
def traced(n):
    sys.settrace(trace); sys.setprofile(trace)
    try: sorted([3, 1, 2], key=lambda each: (agree(), each)[1]); [agree() for _ in range(3)]
    finally: sys.settrace(None); sys.setprofile(None)
def raised(n):
    try: fail(30)
    except KeyError: agree()
rounds, callbacks = 0, []
gc.callbacks.append(lambda phase, info: agree())
while more():
    on_threads(4, collected); on_threads(4, traced); on_threads(4, raised); dump()
    rounds += 1
answer(rounds)""")
    assert rounds > 0


def test_signal_handlers_at_a_kilohertz(program):
    (handled,) = program("""
import signal
handled, kept = 0, []
def handle(number, frame):
    global handled
    handled += 1; agree()
    kept.append(allocate(handled)); kept[:] = kept[-100:]
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
worker = threading.Thread(target=lambda: [allocate(n) for n in iter(more, False)])
worker.start()
while more():
    [str(n) for n in range(2000)]; allocate(handled); dump()
signal.setitimer(signal.ITIMER_REAL, 0)
worker.join()
answer(handled)""")
    assert handled > 100


def test_subinterpreters_on_many_threads(program):
    pytest.importorskip("_xxsubinterpreters")
    (made,) = program("""
import _xxsubinterpreters as interpreters
source = '''
import json
class Node: pass
def work():
    node = Node(); node.own = node
    return [json.loads(json.dumps({str(i): [i] * 50})) for i in range(200)]
kept = work()
'''
made, main = [], interpreters.get_main()
def work(n):
    while more():
        one = interpreters.create()
        interpreters.run_string(one, source)
        runner = threading.Thread(target=interpreters.run_string, args=(one, "kept += work()"))
        runner.start(); allocate(n); runner.join()
        interpreters.run_string(one, "del kept[::2]")
        agree()
        interpreters.destroy(one)
        agree(); made.append(None)
        if len(made) % 10 == 0: dump()
on_threads(3, work)
answer(len(made))""")
    assert made > 3
