"""The limits of one archive, and what is left of them while it is made."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from endoscope_export.content import ContentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from endoscope_export.contributor import Contributor
    from endoscope_export.settings import ExportSettings


_LAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may take: seconds per contributor and in all, bytes per file and in all.

    Bytes are those of the files, before compression; None: as many as there are.
    """

    contributor_seconds: float
    export_seconds: float
    file_bytes: int | None = None
    archive_bytes: int | None = None

    @classmethod
    def of(cls, settings: ExportSettings) -> Limits:
        """Return the limits that were set."""
        return cls(
            settings.contributor_seconds,
            settings.export_seconds,
            settings.max_file_bytes,
            settings.max_archive_bytes,
        )


class Allowance:
    """What is left of the limits, of an archive `began` at that `time.monotonic()`.

    `spent` has the seconds that each contributor has used: a plugin, in one process.
    """

    def __init__(self, limits: Limits, spent: Mapping[Contributor, float], began: float) -> None:
        self.limits = limits
        self.spent = dict(spent)
        self._until = began + limits.export_seconds
        self._bytes = 0

    def require_time(self) -> None:
        """Raise `ContentError` if the archive has taken all of its time."""
        if self._left() <= 0:
            raise ContentError(
                "out_of_time",
                f"the {self.limits.export_seconds:g} s for all of it were over",
            )

    def seconds(self, contributor: Contributor) -> float:
        """Return for how long it may go on; raise `ContentError` if it may not."""
        self.require_time()
        own = self.limits.contributor_seconds - self.spent.get(contributor, 0.0)
        if own <= 0:
            raise ContentError(
                "timed_out",
                f"{contributor} had used up its {self.limits.contributor_seconds:g} s "
                "(contributor_seconds)",
            )
        return min(own, self._left())

    def last_seconds(self) -> float:
        """Return for how long plugins may be asked for a last word, however late it is."""
        return max(_LAST_SECONDS, min(self.limits.contributor_seconds, self._left()))

    @contextmanager
    def spending(self, contributor: Contributor) -> Iterator[None]:
        """Charge a contributor for the time that the body takes."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.spend(contributor, time.monotonic() - began)

    def spend(self, contributor: Contributor, seconds: float) -> None:
        """Charge a contributor for `seconds`."""
        self.spent[contributor] = self.spent.get(contributor, 0.0) + seconds

    def spent_by(self, plugin: str) -> float:
        """Return how many seconds a plugin has used, in all processes together."""
        return sum(took for contributor, took in self.spent.items() if contributor.plugin == plugin)

    def _left(self) -> float:
        return self._until - time.monotonic()

    def room(self) -> int | None:
        """Return how many bytes the next file may have; None if there is no limit.

        Raises `ContentError` if the archive is full.
        """
        most = self.limits.archive_bytes
        if most is not None and self._bytes >= most:
            raise ContentError(
                "archive_full", f"the files before it have {most} bytes (max_archive_bytes)"
            )
        left = None if most is None else most - self._bytes
        return min((n for n in (left, self.limits.file_bytes) if n is not None), default=None)

    def fill(self, count: int) -> None:
        """Count the bytes of a file that is in the archive now."""
        self._bytes += count
