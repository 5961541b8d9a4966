"""Archives from many services at once, on threads of their own."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from endoscope_report.collection_index import Row
from endoscope_report.fetching import Fetch, Order
from endoscope_report.file_names import FileNames
from endoscope_report.sources import Source

_STOP_SECONDS = 3.0
_LOOK_SECONDS = 0.05


class Observer(Protocol):
    """Learns how a collection goes. All but `ended` is called on many threads."""

    def began(self, source: Source) -> None:
        """Learn that a service is asked now."""

    def moved(self, source: Source, done: int, total: int | None) -> None:
        """Learn how many bytes have come; `total` is None if nobody knows."""

    def ended(self, source: Source, row: Row) -> None:
        """Learn what came of it."""


class Collection:
    """Fetches from each of `sources` into `folder`, from `at_most` of them at once.

    The threads are daemons: what hangs in one does not keep the program from ending.
    """

    def __init__(
        self, sources: Sequence[Source], folder: Path, order: Order, observer: Observer
    ) -> None:
        self._sources = sources
        self._order = order
        self._observer = observer
        self._names = FileNames(folder)
        self._waiting = deque(sources)
        self._running: dict[Source, Fetch] = {}
        self._ended: queue.SimpleQueue[tuple[Source, Row]] = queue.SimpleQueue()
        self._rows: dict[Source, Row] = {}
        self._stop = threading.Event()

    def run(self, at_most: int) -> bool:
        """Fetch until all have ended; return False if the user has stopped it (Ctrl+C)."""
        try:
            for _ in range(min(at_most, len(self._sources))):
                threading.Thread(target=self._work, daemon=True).start()
            while len(self._rows) < len(self._sources):
                self._take(*self._ended.get())
        except KeyboardInterrupt:
            self._break_off()
            return False
        return True

    def rows(self) -> list[Row]:
        """Return what came of each source, in their order."""
        return [self._rows.get(each) or _stopped(each) for each in self._sources]

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                source = self._waiting.popleft()
            except IndexError:
                return
            self._fetch(source)

    def _fetch(self, source: Source) -> None:
        def told(done: int, total: int | None) -> None:
            self._observer.moved(source, done, total)

        self._observer.began(source)
        fetch = Fetch(source, self._order, self._names, self._stop, told)
        self._running[source] = fetch
        self._ended.put((source, fetch.run()))
        del self._running[source]

    def _take(self, source: Source, row: Row) -> None:
        self._rows[source] = row
        self._observer.ended(source, row)

    def _break_off(self) -> None:
        """Let all threads end what they do and clean up, and take what had come by then."""
        self._stop.set()
        until = time.monotonic() + _STOP_SECONDS
        while self._running and time.monotonic() < until:
            for fetch in list(self._running.values()):
                fetch.break_off()
            time.sleep(_LOOK_SECONDS)
        while not self._ended.empty():
            self._take(*self._ended.get())


def _stopped(source: Source) -> Row:
    return Row(target=source.url, error="it was stopped", remedy="Collect again.")
