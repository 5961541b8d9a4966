from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
import weakref

import pytest

from endoscope import workers as workers_module
from endoscope.errors import TimeLimitError, UnavailableError
from endoscope.workers import (
    Workers,
    allocate_lock,
    giving_way,
    start_thread,
    threads_of_others,
)


@pytest.fixture
def workers():
    made = Workers("test", 2)
    yield made
    made.stop()


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "endoscope-test"]


def wait_for(check, seconds=15.0):
    until = time.monotonic() + seconds
    while not check() and time.monotonic() < until:
        time.sleep(0.005)
    return check()


def test_a_call_returns_what_the_function_returns(workers):
    assert workers.call(lambda: 6 * 7, 5) == 42


def test_a_call_raises_what_the_function_raises(workers):
    with pytest.raises(ZeroDivisionError):
        workers.call(lambda: 1 // 0, 5)


@pytest.mark.parametrize(
    "raised", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()]
)
def test_what_would_end_the_waiting_thread_is_an_ordinary_error(workers, raised):
    def leave():
        raise raised

    with pytest.raises(RuntimeError, match=type(raised).__name__):
        workers.call(leave, 5)
    with pytest.raises(RuntimeError, match=type(raised).__name__):
        asyncio.run(workers.run(leave, 5))
    assert workers.call(lambda: "still working", 5) == "still working"


def test_threads_are_daemons_with_a_name_of_ours(workers):
    name, daemon = workers.call(
        lambda: (threading.current_thread().name, threading.current_thread().daemon), 5
    )
    assert (name, daemon) == ("endoscope-test", True)


def test_no_signal_is_delivered_to_a_worker(workers):
    blocked = workers.call(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, []), 5)
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGALRM} <= blocked
    assert not {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT} & blocked


def test_threads_are_started_only_for_work_and_used_again(workers, eventually):
    assert eventually(lambda: threads() == [])
    for _ in range(20):
        workers.call(lambda: None, 5)
    assert len(threads()) <= 2


def test_a_thousand_jobs_on_two_threads(workers):
    seen, most, lock = set(), [0, 0], threading.Lock()

    def job(number):
        with lock:
            most[0] += 1
            most[1] = max(most)
        seen.add(number)
        with lock:
            most[0] -= 1

    jobs = [workers.submit(lambda n=n: job(n)) for n in range(1000)]
    assert all(job.wait(20) for job in jobs)
    assert seen == set(range(1000))
    assert most[1] <= 2
    assert len(threads()) <= 2


def test_jobs_over_the_limit_wait_in_order():
    workers = Workers("test", 1)
    gate, order = threading.Event(), []
    first = workers.submit(gate.wait)
    rest = [workers.submit(lambda n=n: order.append(n)) for n in range(5)]
    assert order == []
    gate.set()
    assert all(job.wait(10) for job in (first, *rest))
    assert order == [0, 1, 2, 3, 4]
    workers.stop()


def test_a_late_call_is_abandoned_and_its_thread_replaced(workers):
    gate = threading.Event()
    for _ in range(2):
        with pytest.raises(TimeLimitError, match=r"0\.05 seconds"):
            workers.call(gate.wait, 0.05)
    assert workers.abandoned == 2
    assert workers.call(lambda: "served", 5) == "served"
    gate.set()
    assert wait_for(lambda: workers.abandoned == 0)
    assert wait_for(lambda: len(threads()) <= 2)


def test_abandoned_threads_are_bounded(workers):
    gate = threading.Event()
    for _ in range(8):
        with pytest.raises(TimeLimitError):
            workers.call(gate.wait, 0.02)
    assert len(threads()) == 4, "two that hang, abandoned, and two that hang in their place"
    gate.set()
    assert wait_for(lambda: len(threads()) <= 2)
    assert workers.call(lambda: "recovered", 5) == "recovered"


def test_a_job_whose_turn_never_came_is_never_run():
    workers = Workers("test", 1)
    gate, ran = threading.Event(), []
    workers.submit(gate.wait)
    # One can be abandoned and replaced, so the replacement is held up as well.
    with pytest.raises(TimeLimitError):
        workers.call(gate.wait, 0.02)
    with pytest.raises(TimeLimitError):
        workers.call(lambda: ran.append(1), 0.02)
    gate.set()
    assert workers.call(lambda: "later", 5) == "later"
    assert ran == []
    workers.stop()


def test_a_cancelled_wait_takes_back_what_has_not_begun():
    workers = Workers("test", 1)
    gate, ran = threading.Event(), []
    workers.submit(gate.wait)

    async def cancelled():
        task = asyncio.ensure_future(workers.run(lambda: ran.append(1), 30))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    gate.set()
    assert workers.call(lambda: "later", 5) == "later"
    assert ran == []
    workers.stop()


@pytest.mark.parametrize("how", ["cancelled", "late"])
def test_a_result_that_nobody_waits_for_is_discarded(workers, how):
    gate, discarded = threading.Event(), []

    def slow():
        gate.wait(20)
        return "result"

    async def ask():
        seconds = 30 if how == "cancelled" else 0.05
        task = asyncio.ensure_future(workers.run(slow, seconds, discarded.append))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, TimeLimitError)):
            await task

    asyncio.run(ask())
    assert discarded == []
    gate.set()
    assert wait_for(lambda: discarded == ["result"])


def test_a_result_that_was_taken_is_not_discarded(workers):
    discarded = []
    assert asyncio.run(workers.run(lambda: 1, 5, discarded.append)) == 1
    assert discarded == []


def test_waiting_does_not_block_the_loop(workers):
    gate = threading.Event()

    async def both():
        task = asyncio.ensure_future(workers.run(lambda: gate.wait(20), 20))
        await asyncio.sleep(0.01)
        gate.set()
        return await task

    assert asyncio.run(both()) is True


def test_a_job_may_finish_after_the_loop_was_closed(workers):
    gate = threading.Event()

    async def give_up():
        with pytest.raises(TimeLimitError):
            await workers.run(gate.wait, 0.02)

    asyncio.run(give_up())
    gate.set()
    assert workers.call(lambda: "fine", 5) == "fine"


def test_an_idle_thread_keeps_no_result_alive(workers):
    class Large:
        pass

    alive = weakref.ref(workers.call(Large, 5))
    gc.collect()
    assert wait_for(lambda: alive() is None)


def test_stop_ends_idle_threads_and_refuses_new_jobs(workers):
    workers.call(lambda: None, 5)
    workers.stop()
    with pytest.raises(UnavailableError):
        workers.submit(lambda: None)
    assert wait_for(lambda: threads() == [])


def test_stop_lets_busy_threads_finish(workers):
    gate, done = threading.Event(), []
    job = workers.submit(lambda: done.append(gate.wait(10)))
    workers.stop()
    gate.set()
    assert job.wait(10)
    assert done == [True]
    assert wait_for(lambda: threads() == [])


def test_stop_twice(workers):
    workers.call(lambda: None, 5)
    workers.stop()
    workers.stop()
    assert wait_for(lambda: threads() == [])


def test_a_thread_that_cannot_be_started_costs_no_capacity(workers, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr("endoscope.workers.start_thread", refuse)
        for _ in range(4):
            with pytest.raises(UnavailableError, match="no thread"):
                workers.submit(lambda: None)
    assert workers.call(lambda: "works", 5) == "works"


def test_our_threads_are_told_from_the_host_s(workers, eventually):
    # Threads of an earlier test may still be on their way out.
    assert eventually(lambda: len(os.listdir("/proc/self/task")) == threading.active_count())
    before = threads_of_others()
    gate, entered = threading.Event(), threading.Event()
    job = workers.submit(lambda: entered.set() or gate.wait())
    assert entered.wait(5)
    assert threads_of_others() == before
    stranger = threading.Thread(target=gate.wait)
    stranger.start()
    assert threads_of_others() == before + 1
    gate.set()
    stranger.join()
    assert job.wait(5)


def test_a_lock_is_the_interpreter_s_own():
    lock = allocate_lock()
    assert lock.acquire(timeout=1)
    assert not lock.acquire(timeout=0)
    lock.release()


def test_start_thread_runs_its_target():
    done = threading.Event()
    start_thread(done.set, "endoscope-test")
    assert done.wait(10)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_nice_threads_leave_everybody_else_as_they_were():
    nice = Workers("nice", 1, niceness=7)
    before = os.getpriority(os.PRIO_PROCESS, 0)

    def of_this_thread():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert nice.call(of_this_thread, 10) == min(19, before + 7)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    nice.stop()


def test_an_owner_of_whom_calls_hang_is_not_called_again_until_they_return():
    gate = threading.Event()
    pool = Workers("pool", 8)
    for _ in range(4):
        with pytest.raises(TimeLimitError, match="within"):
            pool.call(lambda: gate.wait(20), 0.01, owner="bad")
    with pytest.raises(TimeLimitError, match="calls of bad still hang"):
        pool.call(lambda: 1, 10, owner="bad")
    assert pool.call(lambda: 1, 10, owner="good") == 1
    gate.set()
    until = time.monotonic() + 10
    while pool.abandoned and time.monotonic() < until:
        time.sleep(0.01)
    assert pool.call(lambda: 1, 10, owner="bad") == 1
    pool.stop()


def test_giving_way_yields_everything_in_order_with_turns_in_between(monkeypatch):
    given = []
    monkeypatch.setattr(workers_module, "give_way", lambda: given.append(1))
    assert list(giving_way(range(300), 64)) == list(range(300))
    assert len(given) == 300 // 64


def test_another_thread_gets_the_lock_when_it_is_given():
    """Without it the interpreter would take the lock away after an hour only."""
    interval = sys.getswitchinterval()
    ran, ready = threading.Event(), threading.Event()

    def other():
        ready.set()
        time.sleep(0)
        ran.set()

    sys.setswitchinterval(3600)
    try:
        thread = threading.Thread(target=other)
        thread.start()
        for _ in giving_way(range(100_000), 1):
            if ran.is_set():
                break
    finally:
        sys.setswitchinterval(interval)
    thread.join()
    assert ran.is_set()
