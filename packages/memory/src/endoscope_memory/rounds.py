"""Which dumps are looked at together: those of one process, or the last ones of all processes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from endoscope import BadRequestError
from endoscope_profiles.views import whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from endoscope_memory.listing import Dump

WITHIN_SECONDS = 3600
"""How much older than the newest dump one may be, to be of the same round."""

MOST_DUMPS = 500
"""How many dumps are looked at together, the newest; their names are an argument of a process."""

_LONGEST_SECONDS = 10**9
_LARGEST_PID = 2**32


def last_round(dumps: Sequence[Dump], within_seconds: float = WITHIN_SECONDS) -> list[Dump]:
    """Return the newest dump of each process, out of `dumps`, newest first.

    Only those taken within so many seconds of the newest one: what a process held that ended
    long ago is no part of what the service holds. Those that do not say of which process they
    are, are left out.
    """
    newest: dict[int, Dump] = {}
    for dump in dumps:
        if dump.pid is not None and dumps[0].modified - dump.modified <= within_seconds:
            newest.setdefault(dump.pid, dump)
    return [*newest.values()]


def of_processes(dumps: Sequence[Dump], options: Mapping[str, str]) -> list[str]:
    """Return the names of one dump of each process, the newest last, as `options` choose them.

    `dumps`, newest first, are all that there are. The options: `dumps`, names with commas
    between, or `within`, see `last_round`. Raises `BadRequestError` and `ViewError`.
    """
    if "dumps" in options:
        return _named(dumps, options)
    within = whole_number("within", options.get("within", str(WITHIN_SECONDS)), _LONGEST_SECONDS)
    names = [dump.name for dump in last_round(dumps, within)[:MOST_DUMPS]]
    if not names:
        raise _too_few("There is no dump that says of which process it is")
    return names[::-1]


def of_process(dumps: Sequence[Dump], options: Mapping[str, str]) -> list[str]:
    """Return the names of the dumps of one process, the newest last.

    `dumps` are as in `of_processes`. The option `pid` says which process; if it is not given,
    the one that the newest is of. Raises `BadRequestError` and `ViewError`.
    """
    if not dumps:
        raise _too_few("There are no dumps")
    pid = whole_number("pid", options["pid"], _LARGEST_PID) if "pid" in options else dumps[0].pid
    names = [dump.name for dump in dumps if dump.pid == pid]
    if not names:
        raise _too_few(f"There are no dumps of process {pid}")
    return names[::-1]


def _named(dumps: Sequence[Dump], options: Mapping[str, str]) -> list[str]:
    names = [*dict.fromkeys(name for name in options["dumps"].split(",") if name)]
    if "within" in options or not 0 < len(names) <= MOST_DUMPS:
        raise BadRequestError(
            f"dumps takes from 1 to {MOST_DUMPS} names, and no within beside it",
            remedy="Give dumps=NAME,NAME, or leave it out.",
            code="bad_parameter",
        )
    pids = Counter(dump.pid for dump in dumps if dump.name in names and dump.pid is not None)
    if any(number > 1 for number in pids.values()):
        raise BadRequestError(
            "Some of these dumps are of one process: added up, its memory would count twice",
            remedy="Give one dump of each process; or see growth, or diff, to compare them.",
            code="bad_parameter",
        )
    return names


def _too_few(message: str) -> BadRequestError:
    return BadRequestError(
        message, remedy="Take one: POST /diagnostics/memory/dump.", code="too_few_dumps"
    )
