"""What the processes of a service said to one question: the answer to `?process=all`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What one process answered, as it would have answered alone."""

    pid: int
    answer: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """Why processes did not answer; all of `pids` for the same reason."""

    pids: tuple[int, ...]
    message: str
    remedy: str

    @property
    def lines(self) -> tuple[str, ...]:
        """How it is told, remedy last."""
        return f"{pids_text(self.pids)}  failed: {self.message}", f"  {self.remedy}"


@dataclass(frozen=True, slots=True)
class Replies:
    """Those who answered, by process id, and those who did not; and all of it `collected`."""

    collected: Any
    answers: tuple[Reply, ...]
    failures: tuple[Failure, ...]

    @classmethod
    def parse(cls, collected: Mapping[str, Any]) -> Replies:
        """Tell apart what the service has collected."""
        rows = collected["processes"]
        answers = (Reply(row["pid"], row["answer"]) for row in rows if "answer" in row)
        return cls(collected, tuple(answers), _failures(row for row in rows if "error" in row))


def pids_text(pids: Iterable[int]) -> str:
    """Return process ids as a list for people."""
    return ", ".join(map(str, pids))


def _failures(rows: Iterable[Mapping[str, Any]]) -> tuple[Failure, ...]:
    pids: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        error = row["error"]
        pids.setdefault((error["error"], error["remedy"]), []).append(row["pid"])
    return tuple(Failure(tuple(found), *why) for why, found in pids.items())
