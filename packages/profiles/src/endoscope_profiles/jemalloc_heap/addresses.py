"""The addresses in stacks, and the frames that they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain

from endoscope_profiles import limits
from endoscope_profiles.model import Frame
from endoscope_profiles.profile_error import NotExpectedError

PYTHON_RANGE = 0x6A
"""Python frames have addresses that no process can map, with this as the highest of the eight
bytes. They are names, not return addresses."""

NO_STACK = Frame("[no stack]")
"""Stands for a stack without any frame, which jemalloc writes if it could not unwind."""

# jemalloc prints a null pointer without the `0x`.
_ADDRESS = re.compile(rb"0x[0-9a-f]{1,16}|0")


class Stacks:
    """Turns lines of addresses into stacks of frames."""

    def __init__(
        self, frames: Mapping[int, Frame], native_names: Mapping[int, tuple[Frame, ...]]
    ) -> None:
        self._leaves = _Addresses(frames, native_names, (0, -1))
        self._callers = _Addresses(frames, native_names, (-1, 0))
        self._inlined = bool(native_names)

    def stack(self, addresses: bytes) -> tuple[Frame, ...]:
        """Raise `NotExpectedError` if there is anything else than addresses, or too many."""
        words = addresses.split()
        if not words:
            return (NO_STACK,)
        stack = (self._leaves[words[0]], *map(self._callers.__getitem__, words[1:]))
        return tuple(chain.from_iterable(map(_frames, stack))) if self._inlined else stack

    def native_calls(self) -> tuple[int, ...]:
        """Return where the native code in all these stacks called, in order."""
        return tuple(sorted({*self._leaves.native_calls(), *self._callers.native_calls()}))


class _Inlined(Frame):
    """Stands for the frames of one address, the innermost first."""

    frames: tuple[Frame, ...]


def _frames(frame: Frame) -> tuple[Frame, ...]:
    return frame.frames if isinstance(frame, _Inlined) else (frame,)


class _Addresses(dict[bytes, Frame]):
    """Addresses, as they stand in the dump, to frames. Each is looked up once.

    What jemalloc records is where a call returns to, of the innermost frame as well; that can be
    another function's first instruction. `native` names are those of the byte before, in the
    call. `offsets` says where names in the dump are looked for, in this order: those that
    `jeprof` has put there know of no such byte for the innermost frame.
    """

    def __init__(
        self,
        frames: Mapping[int, Frame],
        native: Mapping[int, tuple[Frame, ...]],
        offsets: tuple[int, int],
    ) -> None:
        super().__init__()
        self._frames = frames
        self._native = native
        self._offsets = offsets

    def __missing__(self, text: bytes) -> Frame:
        if not _ADDRESS.fullmatch(text):
            raise NotExpectedError("addresses as in '@ 0x7f1e 0x7f2a'")
        if len(self) >= limits.ADDRESSES:
            raise NotExpectedError(f"at most {limits.ADDRESSES:,} different addresses")
        frame = self[text] = self._looked_up(int(text, 16))
        return frame

    def _looked_up(self, address: int) -> Frame:
        if _is_python(address):
            return self._frames.get(address) or Frame(f"{address:#x}")
        if frames := self._native.get(address - 1):
            inlined = _Inlined(*frames[0])
            inlined.frames = frames
            return inlined
        keys = (address + offset for offset in self._offsets)
        named = (self._frames[key] for key in keys if key in self._frames)
        return next(named, Frame(f"{address:#x}"))

    def native_calls(self) -> Iterator[int]:
        for text in self:
            if not _is_python(address := int(text, 16)):
                yield max(address - 1, 0)


def _is_python(address: int) -> bool:
    return address >> 56 == PYTHON_RANGE
