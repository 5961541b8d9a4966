"""What a profile's numbers cover, said beside every view of them.

Profiling begins at some moment, samples, and sees one kind of memory: a number without this
is read as more than it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from endoscope_profiles.amounts import count, size
from endoscope_profiles.model import Profile
from endoscope_profiles.printable import printable

# What a profile says that was added up of several processes', beside the facts of one.
PIDS = "pids"
FIRST_TAKEN = "first_taken"
LAST_SINCE = "last_profiling_since"

EARLIER = "What was allocated before profiling began is not in it."

_MOST_PIDS = 8  # that are listed


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a process a profile explains.

    Sizes are in bytes. `interval_bytes` is 1 if every block was recorded. `allocated_bytes` is
    what the allocator says is in use, `resident_bytes` what the process had in memory; None where
    the profiler did not say. `allocated_lacks` is what is live and the allocator does not know
    of. `since` and `taken` are as the profiler wrote them, RFC 3339 UTC. Of several processes that
    were added up `pids` has the ids, `since` is when the first began to be profiled and
    `last_since` when the last did, `first_taken` and `taken` the same of the dumps.
    """

    service: str | None
    pid: str | None
    profiler: str | None
    sees: str | None
    since: str | None
    taken: str | None
    interval_bytes: int
    live_bytes: float
    live_bytes_error: float
    live_objects: float
    live_objects_error: float
    allocated_bytes: int | None
    allocated_lacks: str | None
    resident_bytes: int | None
    pids: tuple[str, ...]
    first_taken: str | None
    last_since: str | None

    @property
    def of_resident(self) -> float | None:
        """Return the share of the resident memory that the live bytes are."""
        return self.live_bytes / self.resident_bytes if self.resident_bytes else None

    @property
    def of_allocated(self) -> float | None:
        """Return the share of the allocator's memory in use that the live bytes are."""
        return self.live_bytes / self.allocated_bytes if self.allocated_bytes else None


def coverage(profile: Profile) -> Coverage:
    """Return what `profile` covers."""
    facts = profile.facts
    return Coverage(
        service=_text(facts, "service"),
        pid=_text(facts, "pid"),
        profiler=_text(facts, "profiler"),
        sees=_text(facts, "sees"),
        since=_text(facts, "profiling_since"),
        taken=_text(facts, "taken"),
        interval_bytes=max(profile.interval_bytes, 1),
        live_bytes=profile.bytes,
        live_bytes_error=profile.bytes_error,
        live_objects=profile.objects,
        live_objects_error=profile.objects_error,
        allocated_bytes=number_in(facts, "allocated_bytes"),
        allocated_lacks=_text(facts, "allocated_lacks"),
        resident_bytes=number_in(facts, "resident_bytes"),
        pids=tuple(printable(facts.get(PIDS, "")).split()),
        first_taken=_text(facts, FIRST_TAKEN),
        last_since=_text(facts, LAST_SINCE),
    )


def statement(profile: Profile) -> tuple[str, ...]:
    """Return what `profile` covers in a few lines of text, without line ends."""
    covered = coverage(profile)
    return (
        _who(covered),
        how(covered),
        how_much(covered),
        EARLIER,
    )


def statement_of_diff(base: Profile, target: Profile) -> tuple[str, ...]:
    """Return what a comparison of `base` with the later `target` covers, as `statement` does."""
    return (
        "Growth: what is live in the target, less what is live in the base.",
        *(f"Base: {line}" for line in statement(base)[:-1]),
        *(f"Target: {line}" for line in statement(target)[:-1]),
        EARLIER,
    )


def statement_since(base: Profile | None, profile: Profile) -> tuple[str, ...]:
    """Return what `profile` covers, or if it is compared with a `base` what both do."""
    return statement(profile) if base is None else statement_of_diff(base, profile)


def run_of(profile: Profile) -> tuple[str, ...] | None:
    """Return what tells apart in which process, and since which start, a profile was taken.

    None where it does not say.
    """
    facts = profile.facts
    if "pid" not in facts:
        return None
    return tuple(facts.get(key, "") for key in ("service", "pid", "profiling_since"))


def how(covered: Coverage) -> str:
    """Return by whom, since when and how the process was profiled, in a sentence."""
    interval = covered.interval_bytes
    sampled = f"one sample per {interval} bytes" if interval > 1 else "every allocation"
    last = f", the last one since {covered.last_since}," if covered.last_since else ""
    return (
        f"Profiled since {covered.since or 'an unknown time'}{last} by "
        f"{covered.profiler or 'an unknown profiler'}, {sampled}: "
        f"{covered.sees or 'native stacks'}."
    )


def _who(covered: Coverage) -> str:
    taken = covered.taken or "an unknown time"
    when = f"from {covered.first_taken} to {taken}" if covered.first_taken else f"at {taken}"
    return f"Heap of {covered.service or 'a process'}{_which(covered)} {when}."


def _which(covered: Coverage) -> str:
    if not covered.pids:
        return f" (pid {covered.pid})" if covered.pid else ""
    listed = f" (pids {', '.join(covered.pids)})" if len(covered.pids) <= _MOST_PIDS else ""
    return f", {len(covered.pids)} processes{listed} added up,"


def how_much(covered: Coverage) -> str:
    """Return what is live, and how much of the process's memory that is, in a sentence."""
    held = f"{size(covered.live_bytes)} ± {size(covered.live_bytes_error)}"
    blocks = f"{count(covered.live_objects)} ± {count(covered.live_objects_error)} blocks"
    return f"Live: {held} in {blocks} (± standard error){_shares(covered)}."


def _shares(covered: Coverage) -> str:
    lacks = f" (it does not count {covered.allocated_lacks})" if covered.allocated_lacks else ""
    shares = (
        (covered.of_allocated, covered.allocated_bytes, f"that the allocator has in use{lacks}"),
        (covered.of_resident, covered.resident_bytes, "of resident memory"),
    )
    said = [
        f"{share:.0%} of the {size(whole)} {what}"
        for share, whole, what in shares
        if share and whole
    ]
    return ", " + " and ".join(said) if said else ""


def number_in(facts: Mapping[str, str], key: str) -> int | None:
    """Return a fact that is a whole number of up to 64 bits; None if it is none."""
    value = facts.get(key, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 20 else None


def time_in(facts: Mapping[str, str], key: str) -> datetime | None:
    """Return a fact that is a time, UTC if it does not say; None if it is none."""
    try:
        moment = datetime.fromisoformat(facts.get(key, ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(facts: Mapping[str, str], key: str) -> str | None:
    return printable(facts[key]) if key in facts else None
