"""One question to many processes: a few are asked at a time, under one limit for all."""

from __future__ import annotations

import math
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from endoscope import EndoscopeError, TimeLimitError
from endoscope_export.content import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from endoscope import Call, Contributions, OtherProcess

T = TypeVar("T")

# Fewer than the threads that core has for this, so that some are left for this process's plugins.
_ASKERS = 6
_LEAST_SECONDS = 0.2
# Of its share; the rest is for its answer to arrive, which says what else it has.
_OF_ITS_SHARE = 0.8
_OWNER = "other processes"


class Asking(Generic[T]):
    """Asks each of `processes` a `question`, which is told for how many seconds it may take.

    `seconds` are for all of them. Each gets an equal share of what is left when its turn comes, so
    that those that hang leave enough for those that do not. Begun when it is made.
    """

    def __init__(
        self,
        processes: Sequence[OtherProcess],
        question: Callable[[OtherProcess, float], T],
        seconds: float,
        contributions: Contributions,
    ) -> None:
        self.processes = processes
        self._question = question
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._waiting = deque(enumerate(processes))
        self._answers: dict[int, T] = {}
        self._faults: dict[int, str] = {}
        self._ended = False
        self._calls: deque[Call[None]] = deque()
        self._begin(contributions)

    def wait(self, seconds: float) -> bool:
        """Wait until all have answered or the time is over, for `seconds` at most; say if so."""
        pause_ends = time.monotonic() + seconds
        while self._calls:
            left = min(pause_ends, self._until) - time.monotonic()
            if not self._calls[0].wait(max(0.0, left)):
                return time.monotonic() >= self._until
            self._calls.popleft()
        return True

    def end(self) -> None:
        """Wait no longer for anybody. Who answers later is closed by the thread that asked it."""
        self._ended = True
        for call in self._calls:
            call.abandon()

    def answer(self, number: int) -> T:
        """Return what the process of that number answered; raise `EndoscopeError` if nothing."""
        if number in self._answers:
            return self._answers[number]
        late = f"it did not answer: {self._seconds:.3g} s for all processes were over"
        raise EndoscopeError(self._faults.get(number, late))

    def _begin(self, contributions: Contributions) -> None:
        try:
            for _ in range(min(_ASKERS, len(self.processes))):
                self._calls.append(contributions.begin(self._ask, _OWNER))
        except TimeLimitError as error:
            if not self._calls:
                self._faults = dict.fromkeys(range(len(self.processes)), error.message)

    def _ask(self) -> None:
        """Ask one process after the other, until nobody is left or nobody waits any more."""
        while not self._ended and time.monotonic() < self._until:
            share = self._share()
            try:
                number, process = self._waiting.popleft()
            except IndexError:
                return
            self._ask_one(number, process, share)

    def _ask_one(self, number: int, process: OtherProcess, seconds: float) -> None:
        try:
            self._answers[number] = self._question(process, seconds)
        except Exception as error:  # noqa: BLE001  an answer that nobody expected costs itself only
            self._faults[number] = describe(error)
        if self._ended:
            close(process)

    def _share(self) -> float:
        turns = max(1, math.ceil(len(self._waiting) / _ASKERS))
        left = self._until - time.monotonic()
        return max(_LEAST_SECONDS, _OF_ITS_SHARE * left / turns)


def close(process: OtherProcess) -> None:
    """Let a process free what it holds for us; one that is gone holds nothing."""
    with suppress(EndoscopeError, OSError):
        process.close()
