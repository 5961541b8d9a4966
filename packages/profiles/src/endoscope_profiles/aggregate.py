"""How much memory functions, lines, files, packages, threads and processes hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from endoscope_profiles import origin
from endoscope_profiles.model import Frame, Profile, Sample

NO_THREAD = Frame("[thread not recorded]")
NO_PROCESS = Frame("[process not recorded]")


@dataclass(frozen=True, slots=True)
class Row:
    """What `place` holds: by itself, and together with all that it called.

    `place` is a frame in which is left empty what was not told apart. Both amounts are samples
    whose stack is the place alone. A stack counts once in `total`, however often the place
    is in it.
    """

    place: Frame
    own: Sample
    total: Sample


def _function(frame: Frame) -> Frame:
    return frame._replace(line=0)


def _line(frame: Frame) -> Frame:
    return frame


def _file(frame: Frame) -> Frame:
    return Frame("", frame.file) if frame.file else frame


def _package(frame: Frame) -> Frame:
    return Frame(origin.package(frame))


PLACES: Mapping[str, Callable[[Frame], Frame]] = {
    "function": _function,
    "line": _line,
    "file": _file,
    "package": _package,
}
"""What a frame belongs to, by the word for it. A thread is none of one frame, see `aggregate`."""


def _thread(outermost: Frame) -> Frame:
    return Frame(name) if (name := origin.thread(outermost)) else NO_THREAD


def _process(outermost: Frame) -> Frame:
    return Frame(name) if (name := origin.process(outermost)) else NO_PROCESS


_OWNERS: Mapping[str, Callable[[Frame], Frame]] = {"thread": _thread, "process": _process}

BY = (*PLACES, "thread")
PROCESS = "process"
"""What else `aggregate` tells apart, in what `addition` made of several processes' profiles."""


def aggregate(profile: Profile, by: str = "function") -> tuple[Row, ...]:
    """Return a row for every place, the one with the most bytes of its own first.

    `by` is one of `BY` or `PROCESS`, else `ValueError` is raised. Threads are told apart where the
    profile was read with them, processes where it was added up by them.
    """
    if by not in (*PLACES, *_OWNERS):
        raise ValueError(f"by={by!r} is none of {', '.join((*PLACES, *_OWNERS))}")
    places = _Places(PLACES[by] if by in PLACES else _OWNERS[by])
    for number, sample in enumerate(profile.samples):
        places.add(number, sample.stack if by in PLACES else sample.stack[-1:])
    return tuple(sorted(places.rows(profile.samples), key=_rank))


def _rank(row: Row) -> tuple[float, float, Frame]:
    return (-row.own.bytes, -row.total.bytes, row.place)


class _Places(dict[Frame, int]):
    """Frames to the numbers of their places, and which samples each place is in.

    Added up is in the end, place by place, and not while going through the stacks: that takes
    four additions for each frame of each sample, and so several times as long.
    """

    def __init__(self, place: Callable[[Frame], Frame]) -> None:
        super().__init__()
        self._place = place
        self._numbers: dict[Frame, int] = {}
        self._own: list[list[int]] = []
        self._all: list[list[int]] = []

    def __missing__(self, frame: Frame) -> int:
        number = self[frame] = self._numbers.setdefault(self._place(frame), len(self._all))
        if number == len(self._all):
            self._own.append([])
            self._all.append([])
        return number

    def add(self, sample: int, frames: Sequence[Frame]) -> None:
        self._own[self[frames[0]]].append(sample)
        for place in set(map(self.__getitem__, frames)):
            self._all[place].append(sample)

    def rows(self, samples: Sequence[Sample]) -> Iterator[Row]:
        columns = _Columns(samples)
        for place, number in self._numbers.items():
            own, total = self._own[number], self._all[number]
            yield Row(place, columns.sum((place,), own), columns.sum((place,), total))


class _Columns:
    """The amounts of all samples, one kind after the other."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._columns = (
            [sample.objects for sample in samples],
            [sample.bytes for sample in samples],
            [sample.objects_variance for sample in samples],
            [sample.bytes_variance for sample in samples],
        )

    def sum(self, stack: tuple[Frame, ...], members: Sequence[int]) -> Sample:
        """Return as one sample what is in the samples of these numbers."""
        if len(members) < 2:  # of which an `itemgetter` makes no tuple
            return Sample(
                stack, *(sum((column[each] for each in members), 0.0) for column in self._columns)
            )
        pick = itemgetter(*members)
        return Sample(stack, *(math.fsum(pick(column)) for column in self._columns))
