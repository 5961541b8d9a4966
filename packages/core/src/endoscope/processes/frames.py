"""Whole messages over a private socket: JSON, bytes, and open files.

A frame is two lengths (network order, 32 bits), the JSON, the bytes. Descriptors travel with
its first byte (SCM_RIGHTS).
"""

from __future__ import annotations

import _socket
import array
import contextlib
import errno
import json
import os
import struct
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_LENGTHS = struct.Struct("!II")
_MOST_DESCRIPTORS = 4
_LARGEST = 256 * 1024 * 1024

READABLE = 0x001
"""POLLIN, of poll(2), by which one waits for a frame; `select` is one that gevent patches."""

_CONTROL_BYTES = _socket.CMSG_SPACE(_MOST_DESCRIPTORS * array.array("i").itemsize)
_CLOSE_ON_EXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)


_open: weakref.WeakSet[Connection] = weakref.WeakSet()


def drop_inherited() -> None:
    """Close, in a forked child, every connection of the parent's."""
    for connection in list(_open):
        with contextlib.suppress(OSError):
            connection.close()
    _open.clear()


@dataclass(frozen=True, slots=True)
class Frame:
    """A message, the bytes that belong to it, and descriptors, which the receiver closes."""

    message: dict[str, Any]
    body: bytes = b""
    descriptors: tuple[int, ...] = ()

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in self.descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Connection:
    """One end of a private socket. Every failure, a broken frame included, is an `OSError`."""

    def __init__(self, connected: _socket.socket) -> None:
        self._socket = connected
        _open.add(self)

    def fileno(self) -> int:
        """Return the descriptor, for who waits until something can be received."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def break_off(self) -> None:
        """End what another thread waits for on it; that thread gets an error, and closes it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(_socket.SHUT_RDWR)

    def peer_user(self) -> int | None:
        """Return the user id of the process at the other end; None if the system has no word."""
        if not hasattr(_socket, "SO_PEERCRED"):
            return None
        credentials = struct.Struct("3i")
        option = self._socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, credentials.size)
        user: int = credentials.unpack(option)[1]
        return user

    def send(self, frame: Frame, seconds: float) -> None:
        """Send a frame; its descriptors stay open here."""
        until = time.monotonic() + seconds
        text = json.dumps(frame.message).encode()
        if max(len(text), len(frame.body)) > _LARGEST:
            raise OSError(f"a message of over {_LARGEST} bytes")
        data = memoryview(b"".join((_LENGTHS.pack(len(text), len(frame.body)), text, frame.body)))
        self._wait_at_most(until)
        sent = self._socket.sendmsg([data], _rights(frame.descriptors))
        while sent < len(data):
            self._wait_at_most(until)
            sent += self._socket.send(data[sent:])

    def receive(self, seconds: float) -> Frame:
        """Wait for a whole frame. Raises `ConnectionResetError` if the other end is gone."""
        until = time.monotonic() + seconds
        descriptors: list[int] = []
        try:
            text, length = self._receive_head(descriptors, until)
            message = _message(self._receive_bytes(text, until))
            return Frame(message, bytes(self._receive_bytes(length, until)), tuple(descriptors))
        except BaseException as error:
            Frame({}, descriptors=tuple(descriptors)).close()
            if isinstance(error, ValueError | RecursionError | MemoryError):
                raise OSError("what was received is no message of ours") from error
            raise

    def _receive_head(self, descriptors: list[int], until: float) -> tuple[int, int]:
        head = b""
        while len(head) < _LENGTHS.size:
            self._wait_at_most(until)
            part, control, flags, _ = self._socket.recvmsg(
                _LENGTHS.size - len(head), _CONTROL_BYTES, _CLOSE_ON_EXEC
            )
            descriptors += _descriptors(control)
            if flags & _socket.MSG_CTRUNC:
                raise OSError(errno.EMFILE, "no descriptor is free for what was sent")
            if not part:
                raise ConnectionResetError("the other end is gone")
            head += part
        text, length = _LENGTHS.unpack(head)
        if max(text, length) > _LARGEST:
            raise OSError("what was received is no message of ours")
        return text, length

    def _receive_bytes(self, length: int, until: float) -> bytearray:
        received = bytearray(length)
        view, done = memoryview(received), 0
        while done < length:
            self._wait_at_most(until)
            count = self._socket.recv_into(view[done:])
            if not count:
                raise ConnectionResetError("the other end is gone")
            done += count
        return received

    def _wait_at_most(self, until: float) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)


def _message(text: bytes | bytearray) -> dict[str, Any]:
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  it is what was received that is wrong
    return message


def _rights(descriptors: Iterable[int]) -> list[tuple[int, int, Any]]:
    numbers = array.array("i", descriptors)
    return [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)] if numbers else []


def _descriptors(control: Iterable[tuple[int, int, bytes]]) -> list[int]:
    numbers = array.array("i")
    for level, kind, data in control:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    return list(numbers)
