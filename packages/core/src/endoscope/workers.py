"""Our own daemon threads: bounded, time-limited, unseen by the host.

`asyncio.to_thread` and `ThreadPoolExecutor` are not used anywhere in Endoscope: the
interpreter joins their threads at exit, so that one hung job would keep the host from
ending. Threads here are daemons, and a job that exceeds its limit is abandoned: its
thread is replaced at once and ends by itself when the job returns, if it ever does.

Locks and threads are the interpreter's own, so that a host which patches `threading`
(gevent) does not turn ours into its greenlets. `asyncio` is imported only once it is used,
for the reason that `server` gives.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from endoscope.errors import TimeLimitError, UnavailableError

T = TypeVar("T")

_GIVEN_SECONDS = 1e-5

# So many calls of one owner may hang; a thread is replaced for each, and threads are bounded.
_HANGING_MOST = 4

# Faults are raised in the thread that commits them; blocking them would turn a report by
# faulthandler into a silent kill.
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}
_ours: set[int] = set()  # native ids of our running threads
_starting: set[Callable[[], None]] = set()  # what those that do not run yet will call


def original(module: str, name: str) -> Any:
    """Return what `module.name` was before gevent patched it, or is if it did not."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return getattr(importlib.import_module(module), name)
    return monkey.get_original(module, name)


def give_way() -> None:
    """Let the host's threads have Python's lock, in the middle of work that is all Python.

    To sleep for no time would take the lock back before anybody who waits for it is awake.
    """
    original("time", "sleep")(_GIVEN_SECONDS)


def giving_way(things: Iterable[T], per_turn: int = 64) -> Iterator[T]:
    """Yield `things`, and let the host's threads have Python's lock after each `per_turn`.

    For work that is all Python: choose so many that they take about a millisecond.
    """
    for turn, thing in enumerate(things, 1):
        yield thing
        if turn % per_turn == 0:
            give_way()


def allocate_lock() -> Any:
    """Return a lock of the interpreter's own (`_thread.lock`)."""
    return original("_thread", "allocate_lock")()


def start_thread(target: Callable[[], None], name: str, *, in_fork: bool = False) -> None:
    """Run `target` on a daemon thread that no signal is delivered to.

    The host's signal handlers run on its main thread, whose blocking calls only a signal
    delivered to that very thread interrupts. `in_fork`: without waiting until it runs, which
    a child that was forked a moment ago has no time for.
    """

    def body() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _FAULTS)
        _ours.add(threading.get_native_id())
        _starting.discard(body)
        try:
            target()
        finally:
            _ours.discard(threading.get_native_id())
        if as_thread and _is_patched():
            # What ends a `Thread` would look for it among the greenlets, and fail aloud.
            _wait_for_ever()

    as_thread = not in_fork and not _is_patched()
    _starting.add(body)
    try:
        if as_thread:
            threading.Thread(target=body, name=name, daemon=True).start()
        else:  # a `Thread` would be a greenlet
            original("_thread", "start_new_thread")(body, ())
    except RuntimeError:
        _starting.discard(body)
        raise


def _is_patched() -> bool:
    return original("threading", "Lock") is not threading.Lock


def is_being_patched() -> bool:
    """Tell whether gevent is there, but has not patched threads, or not yet."""
    return "gevent" in sys.modules and not _is_patched()


def _wait_for_ever() -> None:
    lock = allocate_lock()
    lock.acquire()
    lock.acquire()


def forget_threads() -> None:
    """Forget, in a forked child, the threads, which are the parent's."""
    _ours.clear()
    _starting.clear()


def threads_of_others() -> int:
    """Count this process's threads that are not Endoscope's."""
    try:
        running = {int(name) for name in os.listdir("/proc/self/task")}
    except OSError:  # no /proc: Python's own threads have to do
        running = {thread.native_id or 0 for thread in threading.enumerate()}
    return len(running - _ours) - len(_starting)


class Job(Generic[T]):
    """One call on a worker thread, its outcome, and who waits for it.

    `owner` is whose fault it is if the call hangs.
    """

    def __init__(self, function: Callable[[], T], owner: str = "") -> None:
        self.owner = owner
        self._function = function
        self._lock = allocate_lock()
        self._finished = allocate_lock()
        self._finished.acquire()
        self._done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[], None]] = []
        self.abandoned = False

    def perform(self) -> None:
        """Make the call, on whichever thread this is, and tell those who wait."""
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001  it belongs to whoever waits, SystemExit too
            self._error = error
        with self._lock:
            self._done = True
            callbacks, self._callbacks = self._callbacks, []
        self._finished.release()
        for callback in callbacks:
            callback()

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the worker's thread after the call, or here if that is over."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback()

    def outcome(self) -> T:
        """Return what the call returned, or raise what it raised. Only once it is done.

        What would end the waiting thread or its event loop (SystemExit, a cancellation)
        ended only the call: it is raised as a `RuntimeError`.
        """
        if self._error is not None and not isinstance(self._error, Exception):
            kind = type(self._error).__name__
            raise RuntimeError(f"{kind}: {self._error}") from self._error
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[no-any-return]

    def wait(self, seconds: float | None) -> bool:
        """Block this thread until the call is done; False if that took over `seconds`."""
        if not self._finished.acquire(timeout=-1 if seconds is None else seconds):
            return False
        self._finished.release()
        return True

    async def wait_async(self, seconds: float | None) -> bool:
        """Wait as `wait` does, without blocking the running event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def tell_loop() -> None:
            # The loop may have been closed while the job ran: then nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        self.when_done(tell_loop)
        try:
            # Not `wait_for`: before Python 3.12 that swallows a cancellation which comes
            # together with the result, and a client that has left would be served for ever.
            async with asyncio.timeout(seconds):
                await done.wait()
        except TimeoutError:
            return False
        return True


def _give_way(niceness: int) -> None:
    """Lower this thread's priority below that of the process, if it can be done by thread."""
    if niceness and sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), own + niceness)


class _Worker:
    """One thread of a pool: waits until it is given a job, and asks for the next after it."""

    def __init__(self, pool: Workers, name: str, niceness: int) -> None:
        self._pool = pool
        self._niceness = niceness
        self._given = allocate_lock()
        self._given.acquire()
        self._job: Job[Any] | None = None
        start_thread(self._work, name)

    def give(self, job: Job[Any] | None) -> None:
        self._job = job
        self._given.release()

    def _work(self) -> None:
        _give_way(self._niceness)
        while True:
            self._given.acquire()
            job, self._job = self._job, None
            if job is None:
                return
            job.perform()
            self._pool.after(self, job)
            del job  # an idle thread must not keep alive what the call has returned


class Workers:
    """At most `limit` daemon threads, started when there is work for them.

    Jobs over the limit wait in order. At most `limit` abandoned jobs have their thread
    replaced; after that the pool shrinks, so that a plugin which always hangs cannot fill
    the host with threads. Threads of a `niceness` above 0 give way to the host's, by so many
    steps of the scheduler's (Linux only).
    """

    def __init__(self, name: str, limit: int, niceness: int = 0) -> None:
        self._name = name
        self._limit = limit
        self._niceness = niceness
        self._lock = allocate_lock()
        self._threads = 0
        self._idle: list[_Worker] = []
        self._waiting: deque[Job[Any]] = deque()
        self._hanging: Counter[str] = Counter()
        self.abandoned = 0
        self.stopped = False

    def submit(self, function: Callable[[], T], owner: str = "") -> Job[T]:
        """Call `function` on a worker thread as soon as one is free.

        Raises `TimeLimitError` for an `owner` of whom too many calls hang already.
        """
        job = Job(function, owner)
        with self._lock:
            if owner and self._hanging[owner] >= _HANGING_MOST:
                raise _hangs(owner)
            if self.stopped:
                raise UnavailableError(
                    "diagnostics are shutting down", remedy="Ask again after the restart."
                )
            self._place(job)
        return job

    def call(self, function: Callable[[], T], seconds: float, owner: str = "") -> T:
        """Call `function` on a worker thread and wait for it, `seconds` at most.

        Raises what it raises, and `TimeLimitError` when it is abandoned, or would be.
        """
        return self.finish(self.submit(function, owner), seconds)

    def finish(self, job: Job[T], seconds: float) -> T:
        """Wait for a job that was submitted, as `call` does."""
        if not job.wait(seconds):
            self.abandon(job)
            raise _late(seconds)
        return job.outcome()

    async def run(
        self,
        function: Callable[[], T],
        seconds: float,
        discard: Callable[[T], None] = lambda _result: None,
    ) -> T:
        """Do what `call` does, without blocking the running event loop.

        A result that comes too late, or after the waiting task was cancelled, is handed to
        `discard`, on the worker's thread.
        """
        import asyncio

        job = self.submit(function)
        try:
            if await job.wait_async(seconds):
                return job.outcome()
            self.abandon(job)
            raise _late(seconds)
        except (asyncio.CancelledError, TimeLimitError):
            if not self._withdraw(job):
                job.when_done(lambda: _discard(job, discard))
            raise

    def stop(self) -> None:
        """Let idle threads end now and busy ones after their job; refuse new jobs."""
        with self._lock:
            self.stopped = True
            idle, self._idle = self._idle, []
            self._threads -= len(idle)
        for worker in idle:
            worker.give(None)

    def after(self, worker: _Worker, job: Job[Any]) -> None:
        """Give `worker`, which has just performed `job`, its next one, or nothing more."""
        with self._lock:
            if job.abandoned:
                self.abandoned -= 1
                self._hanging[job.owner] -= 1
                worker.give(None)
            elif self._waiting:
                worker.give(self._waiting.popleft())
            elif self.stopped:
                self._threads -= 1
                worker.give(None)
            else:
                self._idle.append(worker)

    def _place(self, job: Job[Any]) -> None:
        if self._idle:
            self._idle.pop().give(job)
        elif self._threads < self._limit and (worker := self._new_worker()):
            worker.give(job)
            self._threads += 1
        elif self._threads:
            self._waiting.append(job)
        else:
            raise UnavailableError(
                "no thread can be started in this process",
                remedy="Raise its limit of threads (ulimit -u, the cgroup's pids.max).",
            )

    def _new_worker(self) -> _Worker | None:
        with contextlib.suppress(RuntimeError):  # no more threads are to be had
            return _Worker(self, f"endoscope-{self._name}", self._niceness)
        return None

    def _withdraw(self, job: Job[Any]) -> bool:
        """Take back a job that waits for a thread; False if it has been given to one."""
        with self._lock:
            if job not in self._waiting:
                return False
            self._waiting.remove(job)
        return True

    def abandon(self, job: Job[Any]) -> None:
        """Wait no longer for `job`; if it runs, its thread is replaced. Harmless if it is over."""
        if self._withdraw(job):
            return
        with self._lock:
            if job.wait(0) or self.abandoned >= self._limit:
                return
            job.abandoned = True
            self.abandoned += 1
            self._hanging[job.owner] += 1
            self._threads -= 1
            if self._waiting:
                with contextlib.suppress(UnavailableError):
                    self._place(self._waiting.popleft())


def _discard(job: Job[T], discard: Callable[[T], None]) -> None:
    with contextlib.suppress(Exception):
        discard(job.outcome())


def _late(seconds: float) -> TimeLimitError:
    return TimeLimitError(
        f"no answer within {seconds:.3g} seconds",
        remedy="What was asked hangs or is overloaded; look at the service's log.",
    )


def _hangs(owner: str) -> TimeLimitError:
    return TimeLimitError(
        f"earlier calls of {owner} still hang",
        remedy="Restart the service; until then it is not asked again.",
    )
