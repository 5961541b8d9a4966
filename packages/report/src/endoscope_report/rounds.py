"""Which dumps of several processes belong together, by what each says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

from endoscope_profiles.coverage import number_in, time_in
from endoscope_profiles.jemalloc_heap import facts_in

WITHIN_SECONDS = 3600
"""How much older than the newest dump another may be, to be of the same round; as the service's."""

_HEAD_BYTES = 8192  # the facts, and the path of the executable in front of them

Facts = Mapping[str, str]


def facts_of(content: BinaryIO) -> Facts:
    """Return what a dump says of itself, and rewind it. One that is compressed says nothing."""
    head = content.read(_HEAD_BYTES)
    content.seek(0)
    return facts_in(head)


def last_round(dumps: Mapping[str, Facts]) -> list[str]:
    """Return the names of the newest dump of each process, out of `dumps`, the newest last.

    Only those taken within an hour of the newest one: what a process held that ended long ago is no
    part of what the service holds. If the newest does not say of which process it is, it is alone.
    """
    name, newest = list(dumps.items())[-1]
    if number_in(newest, "pid") is None:
        return [name]
    latest = {number_in(facts, "pid"): name for name, facts in dumps.items()}
    return [
        name
        for name, facts in dumps.items()
        if number_in(facts, "pid") is not None
        and latest[number_in(facts, "pid")] == name
        and _age(facts, newest) <= WITHIN_SECONDS
    ]


def of_newest_process(dumps: Mapping[str, Facts]) -> list[str]:
    """Return the names of the dumps of the process that the newest, the last of them, is of."""
    pids = {name: number_in(facts, "pid") for name, facts in dumps.items()}
    newest = list(pids.values())[-1:]
    return [name for name, pid in pids.items() if [pid] == newest]


def _age(facts: Facts, newest: Facts) -> float:
    """Return how many seconds older than the newest a dump is; 0 if one of them does not say."""
    taken, last = time_in(facts, "taken"), time_in(newest, "taken")
    return (last - taken).total_seconds() if taken and last else 0.0
