"""pprof's format (profile.proto, gzip): `write`, and `parse` whoever wrote it.

A profile has the values `inuse_objects` (count) and `inuse_space` (bytes), both unsampled and
rounded so that their sums are the profile's. Frames have locations of their own: Python's name
file and line, native ones the library as their mapping. The first mapping is the program, which
pprof names in its headers; its file name is empty if the program is not known. The label `bytes`
is the mean size of a stack's blocks.

What the numbers cover stands in comments, which pprof prints above its reports. The facts are
comments as well, `# key: value` as in a dump; pprof prints those only for `-comments`.

Standard errors come back as they were: each sample has its variances in a field that
profile.proto does not know and readers skip. Where it is missing, as in anybody else's profile,
they are reckoned from the interval and one size of block, which is the label `bytes` or else
the mean. That is exact for a stack with blocks of one size. Of several sizes, the error of the
objects comes out too small, and that of the bytes hardly too large (by 17% and 1% in a web
service's profile).
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

from google.protobuf.message import DecodeError

from endoscope_profiles import limits
from endoscope_profiles.coverage import number_in, statement, time_in
from endoscope_profiles.jemalloc_heap import NO_STACK
from endoscope_profiles.model import Frame, Profile, Sample, merge
from endoscope_profiles.profile_error import ProfileError
from endoscope_profiles.profile_proto import ProfileMessage
from endoscope_profiles.whole_numbers import rounded

_OBJECTS, _SPACE = ("inuse_objects", "count"), ("inuse_space", "bytes")
_BLOCK = "bytes"  # the label with a block's size
_COARSEST = "coarsest_interval_bytes"
_FACT = "# "
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64 = range(-(2**63), 2**63)

_MOST = {
    "sample": limits.STACKS,
    "mapping": limits.MAPPED_FILES,
    "location": limits.ADDRESSES,
    "function": limits.ADDRESSES,
}
_SHOWN_TYPES = 8
_LARGEST_VARIANCE = 1e301  # as many of these as there may be samples can be summed


# --- writing ----------------------------------------------------------------------------------


def write(profile: Profile, *, coverage: Sequence[str] | None = None) -> bytes:
    """Return `profile` as a gzip file; equal profiles give equal bytes.

    `coverage` is what the numbers cover, in lines, if not what `statement` says of the profile.
    Numbers may be negative, as growth is: pprof shows them, and adds them to its total as if they
    were not; speedscope, which reads pprof's format too, refuses them. Lone surrogates in names
    become `?`. Raises `ValueError` if a number does not fit 64 bits.
    """
    message = ProfileMessage()
    strings = _Strings(message)
    _put_kind(message, strings, profile)
    for line in statement(profile) if coverage is None else coverage:
        message.comment.append(strings[line])
    for key, value in profile.facts.items():
        message.comment.append(strings[f"{_FACT}{_escaped(key)}: {value}"])
    _put_samples(message, profile, strings, _Locations(message, strings, profile))
    return gzip.compress(message.SerializeToString(), compresslevel=6, mtime=0)


class _Strings(dict[str, int]):
    """Texts to their indexes in the table, the first of which is that of the empty text."""

    def __init__(self, message: Any) -> None:
        super().__init__()
        self._table = message.string_table
        _ = self[""]

    def __missing__(self, text: str) -> int:
        index = self[text] = len(self)
        self._table.append(text.encode("utf-8", "replace"))
        return index


class _Mappings(dict[str, int]):
    """Files of native code to the ids of their mappings."""

    def __init__(self, message: Any, strings: _Strings, profile: Profile) -> None:
        super().__init__()
        self._table = message.mapping
        self._strings = strings
        self._build_ids = profile.build_ids
        for file in (profile.binary, *profile.build_ids):
            _ = self[file]

    def __missing__(self, file: str) -> int:
        number = self[file] = len(self) + 1
        build_id = self._strings[self._build_ids.get(file, "")]
        # What names there are the file has: pprof need not look for any.
        self._table.add(
            id=number, filename=self._strings[file], build_id=build_id, has_functions=True
        )
        return number


class _Functions(dict[tuple[str, str], int]):
    """Names and source files of functions to their ids."""

    def __init__(self, message: Any, strings: _Strings) -> None:
        super().__init__()
        self._table = message.function
        self._strings = strings

    def __missing__(self, function: tuple[str, str]) -> int:
        number = self[function] = len(self) + 1
        name, file = map(self._strings.__getitem__, function)
        self._table.add(id=number, name=name, filename=file)
        return number


class _Locations(dict[Frame, int]):
    """Frames to the ids of their locations."""

    def __init__(self, message: Any, strings: _Strings, profile: Profile) -> None:
        super().__init__()
        self._table = message.location
        self._functions = _Functions(message, strings)
        self._mappings = _Mappings(message, strings, profile)

    def __missing__(self, frame: Frame) -> int:
        number = self[frame] = len(self) + 1
        library = frame.library or (frame.file if frame.line == 0 else "")
        location = self._table.add(id=number)
        if library:
            location.mapping_id = self._mappings[library]
        function = self._functions[frame.function, frame.file if frame.line else ""]
        location.line.add(function_id=function, line=frame.line)
        return number


def _put_kind(message: Any, strings: _Strings, profile: Profile) -> None:
    for name, unit in (_OBJECTS, _SPACE):
        message.sample_type.add(type=strings[name], unit=strings[unit])
    message.default_sample_type = strings[_SPACE[0]]
    message.period_type.type = strings["space"]
    message.period_type.unit = strings["bytes"]
    message.period = profile.interval_bytes
    taken = _nanoseconds(time_in(profile.facts, "taken"))
    since = _nanoseconds(time_in(profile.facts, "profiling_since"))
    message.time_nanos = taken or 0
    if taken is not None and since is not None:
        message.duration_nanos = min(max(taken - since, 0), _INT64[-1])


def _put_samples(message: Any, profile: Profile, strings: _Strings, locations: _Locations) -> None:
    objects = rounded([sample.objects for sample in profile.samples])
    sizes = rounded([sample.bytes for sample in profile.samples])
    key, unit = strings[_BLOCK], strings["bytes"]
    for sample, *values in zip(profile.samples, objects, sizes, strict=True):
        put = message.sample.add()
        put.location_id.extend([locations[frame] for frame in sample.stack])
        put.value.extend(values)
        put.variance.extend((sample.objects_variance, sample.bytes_variance))
        if block := _block(sample.objects, sample.bytes):
            put.label.add(key=key, num=block, num_unit=unit)


def _block(objects: float, size: float) -> int:
    """Return the mean size of a block; 0 where growth has none, for bytes grew and objects not."""
    return max(round(size / objects), 0) if abs(objects) >= 0.5 else 0


def _nanoseconds(moment: datetime | None) -> int | None:
    """Return a time in nanoseconds since 1970; None if 64 bits cannot hold it."""
    if moment is None:
        return None
    nanoseconds = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    return nanoseconds if nanoseconds in _INT64 else None


def _escaped(key: str) -> str:
    return key.replace("%", "%25").replace(":", "%3a")


def _unescaped(key: str) -> str:
    return key.replace("%3a", ":").replace("%25", "%")


# --- reading ----------------------------------------------------------------------------------


def parse(data: bytes) -> Profile:
    """Return the profile that `data`, already decompressed, holds. Raises `ProfileError`.

    Takes any heap profile with `inuse_objects` and `inuse_space`, such as Go's; of an inlined
    function and its caller each is a frame. Without facts of ours, its time and duration become
    `taken` and `profiling_since`. The interval is 0 if there is none in bytes. Stacks that hold
    nothing are left out. Errors tell what is wrong, but not where: their offset is 0.
    """
    message = _message(data)
    texts = _Texts(message.string_table)
    mapped = [(texts[each.filename], texts[each.build_id]) for each in message.mapping]
    try:
        facts, interval = _facts(message, texts), _interval(message, texts)
        stacks = _Stacks(_frames(message, texts))
        errors = _Errors(max(interval, number_in(facts, _COARSEST) or 0), texts)
        samples = merge(_samples(message, _indexes(message, texts), stacks, errors))
    except KeyError as missing:
        raise _error(f"a location or function of the id {missing}") from None
    return Profile(
        samples,
        interval,
        facts,
        binary=mapped[0][0] if mapped else "",
        build_ids={file: build_id for file, build_id in mapped if build_id},
    )


def _message(data: bytes) -> Any:
    message = ProfileMessage()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise _error("a message Profile of profile.proto") from None
    for field, most in _MOST.items():
        if len(getattr(message, field)) > most:
            raise _error(f"at most {most:,} {field}s")
    return message


def _error(expected: str) -> ProfileError:
    return ProfileError(expected, 0, 0, cut_off=False)


class _Texts(dict[int, str]):
    """Indexes in the string table to texts. Each is decoded once."""

    def __init__(self, table: Sequence[bytes]) -> None:
        super().__init__({0: ""})
        self._table = table

    def __missing__(self, index: int) -> str:
        if not 0 < index < len(self._table):
            raise _error(f"an index below {len(self._table)}, not {index}, of a string")
        text = self[index] = self._table[index].decode("utf-8", "replace")
        return text


def _facts(message: Any, texts: _Texts) -> dict[str, str]:
    facts: dict[str, str] = {}
    for index in dict.fromkeys(message.comment):
        fact, separator, value = texts[index].partition(": ")
        if separator and fact.startswith(_FACT):
            facts[_unescaped(fact.removeprefix(_FACT))] = value
    if message.time_nanos:
        facts.setdefault("taken", _time(message.time_nanos))
        if message.duration_nanos > 0:
            since = message.time_nanos - message.duration_nanos
            facts.setdefault("profiling_since", _time(since))
    return facts


def _time(nanoseconds: int) -> str:
    moment = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    return moment.isoformat().replace("+00:00", "Z")


def _interval(message: Any, texts: _Texts) -> int:
    in_bytes = texts[message.period_type.unit] == "bytes"
    return max(message.period, 0) if in_bytes else 0


def _indexes(message: Any, texts: _Texts) -> tuple[int, int, int]:
    """Return where among a sample's values objects and bytes are, and how many values it has."""
    kinds = [(texts[each.type], texts[each.unit]) for each in message.sample_type]
    if _OBJECTS not in kinds or _SPACE not in kinds:
        found = ", ".join("/".join(kind) for kind in kinds[:_SHOWN_TYPES]) or "none"
        wanted = " and ".join("/".join(kind) for kind in (_OBJECTS, _SPACE))
        raise _error(f"the sample types {wanted}, not {found:.200}")
    return kinds.index(_OBJECTS), kinds.index(_SPACE), len(kinds)


def _frames(message: Any, texts: _Texts) -> dict[int, tuple[Frame, ...]]:
    """Return the frames of each location, innermost first, by its id."""
    libraries = {mapping.id: texts[mapping.filename] for mapping in message.mapping}
    program = message.mapping[0].id if message.mapping else 0
    functions = {each.id: (texts[each.name], texts[each.filename]) for each in message.function}
    frames = {}
    for location in message.location:
        library = libraries.get(location.mapping_id, "")
        # Others map all code to the program, whatever it is written in.
        beside = library if location.mapping_id != program else ""
        frames[location.id] = tuple(
            _frame(line, functions, library, beside) for line in location.line
        ) or (Frame(f"{location.address:#x}", library),)
    return frames


def _frame(line: Any, functions: Mapping[int, tuple[str, str]], library: str, beside: str) -> Frame:
    """Return a frame; one with a file and a line has its library `beside`."""
    function, file = functions[line.function_id]
    number = max(line.line, 0)
    return Frame(function, file or library, number, beside if file and number else "")


class _Stacks:
    """Turns ids of locations into stacks.

    Bounds their frames: a location may stand for many, and takes a byte to be named again.
    """

    def __init__(self, frames: Mapping[int, tuple[Frame, ...]]) -> None:
        self._frames = frames
        self._room = limits.FRAMES

    def stack(self, ids: Sequence[int]) -> tuple[Frame, ...]:
        frames = chain.from_iterable(map(self._frames.__getitem__, ids))
        stack = tuple(islice(frames, self._room + 1))
        self._room -= len(stack)
        if self._room < 0:
            raise _error(f"at most {limits.FRAMES:,} frames in stacks")
        return stack or (NO_STACK,)


class _Errors:
    """Tells the variances of samples: what they say, or else what their blocks say.

    `n` objects, each of `s` bytes and in the sample with probability `p = 1 - exp(-s / interval)`,
    are an estimate of variance `n (1 - p) / p`, and its bytes of `s**2` times as much.
    """

    def __init__(self, interval: int, texts: _Texts) -> None:
        self._interval = interval
        self._texts = texts

    def variances(self, sample: Any, objects_at: int, bytes_at: int) -> tuple[float, float]:
        if not sample.variance:
            return self._of_blocks(sample, sample.value[objects_at], sample.value[bytes_at])
        if len(sample.variance) != len(sample.value) or not all(
            0 <= variance < _LARGEST_VARIANCE for variance in sample.variance
        ):
            raise _error("a variance for each value of a sample")
        return sample.variance[objects_at], sample.variance[bytes_at]

    def _of_blocks(self, sample: Any, objects: int, size: int) -> tuple[float, float]:
        sizes = (label.num for label in sample.label if self._texts[label.key] == _BLOCK)
        block = next(sizes, 0) or (abs(size / objects) if objects else 0)
        if self._interval <= 1 or block <= 0:
            return 0.0, 0.0
        exponent = -block / self._interval
        variance = abs(objects) * math.exp(exponent) / -math.expm1(exponent)
        return variance, variance * block * block


def _samples(
    message: Any, indexes: tuple[int, int, int], stacks: _Stacks, errors: _Errors
) -> Iterator[Sample]:
    objects_at, bytes_at, count = indexes
    amount = 0
    for sample in message.sample:
        if len(sample.value) != count:
            raise _error(f"{count} values in a sample, as many as there are types")
        objects, size = sample.value[objects_at], sample.value[bytes_at]
        amount += abs(objects) + abs(size)
        if amount > limits.AMOUNT:
            raise _error(f"at most {limits.AMOUNT:,} live bytes and objects")
        if objects or size:
            variances = errors.variances(sample, objects_at, bytes_at)
            stack = stacks.stack(sample.location_id)
            yield Sample(stack, float(objects), float(size), *variances)
