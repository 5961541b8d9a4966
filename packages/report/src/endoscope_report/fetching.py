"""One archive from one service: fetched, tried again, verified."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from endoscope.client import Client, Target, TransientError
from endoscope.errors import EndoscopeError
from endoscope.saving import written_whole
from endoscope.service import read_secret
from endoscope_profiles.printable import printable
from endoscope_report.collection_index import Row
from endoscope_report.file_names import FileNames
from endoscope_report.service_processes import of_all_processes
from endoscope_report.sources import Source
from endoscope_report.verification import Verification, verify

_MOST_CHARACTERS = 500
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of every service: the query, and how.

    A service that sends no byte for `seconds` is given up; `retries` is how often it is asked
    again; `secret` is for those that have none of their own.
    """

    query: Mapping[str, str]
    retries: int
    seconds: float
    secret: str | None = None
    authority: Path | None = None


class StoppedError(Exception):
    """The user has had enough."""


@dataclass(frozen=True, slots=True)
class _Saved:
    path: Path
    bytes: int
    sha256: str


class Fetch:
    """Fetches from `source`, on a thread of its own, until `stop` is set.

    `told` learns how many bytes there are so far, and in all, None if nobody knows.
    """

    def __init__(
        self,
        source: Source,
        order: Order,
        names: FileNames,
        stop: threading.Event,
        told: Callable[[int, int | None], None],
    ) -> None:
        self._source = source
        self._order = order
        self._names = names
        self._stop = stop
        self._told = told
        self._client: Client | None = None
        self._attempts = 0

    def run(self) -> Row:
        """Return what came of it; whatever went wrong is in there."""
        began = time.monotonic()
        saved = verification = None
        error: tuple[str, str] | None
        try:
            saved = self._saved()
            verification = verify(saved.path, self._check)
            error = _fault(verification)
        except StoppedError:
            error = ("it was stopped", "Collect again.")
        except EndoscopeError as failure:
            error = (failure.message, failure.remedy)
        except Exception as failure:  # noqa: BLE001  one answer that nobody expected is one row
            error = (f"{type(failure).__name__}: {failure}", "Is it a service of Endoscope's?")
        return self._row(time.monotonic() - began, saved, verification, error)

    def break_off(self) -> None:
        """End what the service is waited for."""
        if self._client is not None:
            self._client.break_off()

    def _saved(self) -> _Saved:
        client_target = self._target()
        while True:
            self._check()
            self._attempts += 1
            try:
                return self._once(client_target)
            except TransientError:
                self._check()
                if self._attempts > self._order.retries:
                    raise
            self._stop.wait(_pause(self._attempts))

    def _target(self) -> Target:
        source, order = self._source, self._order
        if source.fault:
            raise EndoscopeError(source.fault, remedy="Write it as in http://127.0.0.1:8089.")
        secret = read_secret(source.secret_file) if source.secret_file else order.secret
        return Target.from_url(source.url, secret, order.authority)

    def _once(self, target: Target) -> _Saved:
        self._client = Client(target, self._order.seconds)
        query = {**self._order.query, **of_all_processes(self._client)}
        self._check()
        digest, done = hashlib.sha256(), 0
        with self._client.download("/export", query) as download:
            path = self._names.claim(self._source.identity, self._source.stem, download.name)
            self._check()
            with written_whole(path) as write:
                for chunk in download.chunks:
                    self._check()
                    write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    self._told(done, download.length)
                self._check()
        return _Saved(path, done, digest.hexdigest())

    def _check(self, _done: int = 0) -> None:
        if self._stop.is_set():
            raise StoppedError

    def _row(
        self,
        seconds: float,
        saved: _Saved | None,
        verification: Verification | None,
        error: tuple[str, str] | None,
    ) -> Row:
        manifest = verification.manifest.document if verification and verification.manifest else {}
        return Row(
            target=self._source.url,
            service_name=manifest.get("service_name"),
            service_version=manifest.get("service_version"),
            pid=manifest.get("pid"),
            processes=_processes(verification),
            path=saved.path.name if saved else None,
            bytes=saved.bytes if saved else None,
            sha256=saved.sha256 if saved else None,
            seconds=round(seconds, 3),
            attempts=self._attempts,
            verdict=verification.verdict.name.lower() if verification else None,
            members=verification.members if verification else None,
            failures=verification.failures if verification else None,
            error=_shown(error[0]) if error else None,
            remedy=_shown(error[1]) if error else None,
        )


def _processes(verification: Verification | None) -> int | None:
    if verification is None or verification.manifest is None:
        return None
    return len(verification.manifest.processes) or 1


def _fault(verification: Verification) -> tuple[str, str] | None:
    """Return what is wrong with an archive that came, and what to do; None if it is whole."""
    if verification.verdict.is_whole:
        return None
    problems = verification.problems
    problem = next((p for p in problems if p.verdict is verification.verdict), problems[0])
    where = f"{problem.path}: " if problem.path else ""
    return (
        f"its archive is {verification.verdict.value}: {where}{problem.message}",
        problem.remedy,
    )


def _pause(attempts: int) -> float:
    """Return for how long to wait after so many attempts, in seconds.

    Twice as long each time, and never the same for all who were refused together.
    """
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempts - 1, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311  nobody gains by guessing it


def _shown(text: str) -> str:
    return printable(text)[:_MOST_CHARACTERS]
