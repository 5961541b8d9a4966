"""memray: every allocation of the process, exactly, into a capture file, at a price.

    python -m endoscope_memory.profilers.memray CAPTURE

reads a capture and prints its live allocations, since to read one takes memory and time that
the host must not lose.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endoscope import BusyError
from endoscope_memory.availability import Availability, Cost, Coverage, Reason
from endoscope_memory.profilers.tracemalloc import refuse_interval, write_exact
from endoscope_profiles import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from endoscope_memory.drafts import Draft
    from endoscope_memory.wish import Wish

_READ_SECONDS = 50  # a request has 60
_SUFFIX = ".memray"


class MemrayProfiler:
    """memray's tracker of this process, of which there can be one.

    Its capture lies in `directory`, beside the dumps, and can be opened with memray's own
    commands. A start begins a new capture and deletes the last one.
    """

    name = "memray"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._capture: Path | None = None
        self._tracker: Any = None
        self._switching = threading.Lock()

    @property
    def availability(self) -> Availability:
        """Whether it works here: whether it is installed."""
        if not _is_installed():
            reason = Reason("memray is not installed", "pip install 'endoscope-memory[memray]'")
            return Availability(obstacles=(reason,))
        return Availability(facts=("memray records every allocation",))

    @property
    def active(self) -> bool:
        """Whether allocations are being recorded now."""
        return self._tracker is not None

    @property
    def sample_interval_bytes(self) -> int | None:
        """Every allocation is recorded."""
        return 1 if self.availability.available else None

    @property
    def coverage(self) -> Coverage:
        """What its dumps show."""
        sees = "everything that is allocated since the last start, exactly, by Python stack"
        return Coverage(python_frames=True, small_objects=True, sees=sees)

    @property
    def cost(self) -> Cost:
        """What it costs while it is active."""
        return Cost(
            "3 times the CPU time, which is dear, and a capture file that grows by up to 27 MB "
            "per second; a dump reads all of it, in a process of its own"
        )

    def start(self, wish: Wish) -> None:
        """Begin a capture; raises `BusyError` where another interval is wished for."""
        refuse_interval(wish)
        with self._switching:
            if self._tracker is not None and not wish.discard:
                return
            self._end()
            self._delete_captures()
            self._begin()

    def stop(self) -> None:
        """End the capture, which stays."""
        with self._switching:
            self._end()

    def dump(self, draft: Draft, scratch: Draft, facts: Mapping[str, str]) -> int:  # noqa: ARG002
        """Write what is live to `draft`; returns the number of blocks. Raises `OSError`."""
        records = [] if self._capture is None else _read_elsewhere(self._capture)
        named = {"memray_capture": self._capture.name} if self._capture else {}
        return write_exact(draft, records, {**facts, **named})

    def live_bytes(self) -> None:
        """Return nothing: only reading the whole capture would tell."""

    def allocator(self) -> None:
        """Return nothing: memray keeps no statistics."""

    def _begin(self) -> None:
        import memray

        capture = self._directory / f"{int(time.time())}-{os.getpid()}{_SUFFIX}"
        to = memray.FileDestination(capture, overwrite=True, compress_on_exit=False)
        tracker = memray.Tracker(destination=to, trace_python_allocators=True)
        _enter(tracker)
        capture.chmod(0o600)
        self._tracker, self._capture = tracker, capture

    def _end(self) -> None:
        if self._tracker is not None:
            self._tracker.__exit__(None, None, None)
            self._tracker = None

    def _delete_captures(self) -> None:
        # Those of a process that was killed are told from its id.
        for capture in self._directory.glob(f"*-{os.getpid()}{_SUFFIX}"):
            with suppress(OSError):
                capture.unlink()


def _enter(tracker: Any) -> None:
    """Begin to track; ends in another request. Raises `BusyError`.

    On a thread that does nothing else: on the one that starts it memray loses count of the
    frames that were there before.
    """
    failures = []

    def enter() -> None:
        try:
            tracker.__enter__()
        except Exception as error:  # noqa: BLE001  raised again, where it is seen
            failures.append(error)

    entering = threading.Thread(target=enter)
    entering.start()
    entering.join()
    if failures:
        raise BusyError(
            f"memray cannot begin: {failures[0]}",
            remedy="It can track a process once at a time: end what else uses it",
        ) from failures[0]


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec("memray") is not None
    except ValueError:  # something else stands in its place in `sys.modules`
        return False


def _read_elsewhere(capture: Path) -> list[tuple[tuple[Frame, ...], int, int]]:
    environment = {k: v for k, v in os.environ.items() if k not in ("ENDOSCOPE_RUN", "LD_PRELOAD")}
    command = [sys.executable, "-P", "-m", "endoscope_memory.profilers.memray", str(capture)]
    done = subprocess.run(
        command, env=environment, capture_output=True, timeout=_READ_SECONDS, check=False
    )
    if done.returncode:
        complaint = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason"])[-1]
        raise OSError(None, f"memray's capture cannot be read: {complaint}", str(capture))
    return [_record(line) for line in done.stdout.splitlines()]


def _record(line: bytes) -> tuple[tuple[Frame, ...], int, int]:
    objects, size, stack = json.loads(line)
    return tuple(Frame(*frame) for frame in stack), objects, size


def _live(capture: str) -> Iterator[str]:
    """Yield what is live at the end of a capture, which may still be written: a row as JSON."""
    import memray

    reader = memray.FileReader(capture)
    for record in reader.get_leaked_allocation_records(merge_threads=True):
        yield json.dumps([record.n_allocations, record.size, record.stack_trace()])


if __name__ == "__main__":
    for row in _live(sys.argv[1]):
        sys.stdout.write(f"{row}\n")
