"""The folder in which the processes of one service meet, `<output directory>/run/<key>/`.

Each has a private Unix socket in it, named after the process. No file is ever believed: a
process that has ended is known by its id and start time, one in another container by that
nobody answers, and what the dead have left is removed by whoever looks next.
"""

from __future__ import annotations

import _socket
import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from endoscope import directories
from endoscope.procfs import read_process

_NAME = re.compile(r"([0-9]+)-([0-9]+)-([0-9]+)-([0-9a-f]{8})\.sock")
_BACKLOG = 128
_PROBE_SECONDS = 1.0
_LONGEST_ADDRESS = 107
# A system without it (macOS) sets the flag a moment later: `_socket` does so by itself.
_CLOSE_ON_EXEC = getattr(_socket, "SOCK_CLOEXEC", 0)


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """The name of a process's socket: whose it is, beyond doubt. In order of process ids.

    `started` is in the kernel's ticks since boot, `namespace` the number of the process's
    own pid namespace; both 0 where there is no /proc. `token` tells several diagnostics in
    one process apart.
    """

    pid: int
    started: int
    namespace: int
    token: str

    def __str__(self) -> str:
        return f"{self.pid}-{self.started}-{self.namespace}-{self.token}.sock"

    @classmethod
    def parse(cls, text: str) -> Name | None:
        """Return what `str` has made a text of; None for any other."""
        match = _NAME.fullmatch(text)
        if match is None:
            return None
        pid, started, namespace, token = match.groups()
        return cls(int(pid), int(started), int(namespace), token)

    @classmethod
    def own(cls) -> Name:
        """Return a new name for this process."""
        pid = os.getpid()
        process = read_process(pid)
        return cls(pid, process.started if process else 0, _own_namespace(), os.urandom(4).hex())

    @property
    def is_near(self) -> bool:
        """Whether its process id means the same process here as there."""
        return self.namespace == _own_namespace() and self.started > 0


class Place:
    """The meeting place of the processes that run `service_name` and listen on `listen`."""

    def __init__(self, output_directory: Path, service_name: str, listen: str) -> None:
        key = hashlib.sha256(f"{service_name}\0{listen}".encode()).hexdigest()[:12]
        self.folder = output_directory.absolute() / "run" / key

    def claim(self) -> None:
        """Make the folder, mode 0700. Raises `StartError`."""
        directories.claim(self.folder.parent)
        directories.claim(self.folder)

    def members(self) -> list[Name]:
        """Return the living processes by id; what the dead have left is removed."""
        found = []
        for name in self._names():
            if self._is_alive(name):
                found.append(name)
            else:
                self.remove(name)
        return sorted(found)

    def listen(self, name: Name) -> _socket.socket:
        """Return a private socket, listening under `name`, mode 0600. Raises `OSError`."""
        listening = _new_socket()
        try:
            # On Linux the socket's file takes its mode from the descriptor.
            os.fchmod(listening.fileno(), 0o600)
            with self._path(name) as path:
                listening.bind(path)
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
        listening.setblocking(False)
        return listening

    def connect(self, name: Name, seconds: float) -> _socket.socket:
        """Return a socket connected to a process. Raises `OSError`."""
        connected = _new_socket()
        connected.settimeout(seconds)
        try:
            with self._path(name) as path:
                connected.connect(path)
        except BaseException:
            connected.close()
            raise
        return connected

    def remove(self, name: Name) -> None:
        """Remove the socket of a process that does not serve any more."""
        with contextlib.suppress(OSError):
            os.unlink(self.folder / str(name))

    def _is_alive(self, name: Name) -> bool:
        if name.is_near:
            process = read_process(name.pid)
            return process is not None and process.started == name.started and not process.has_ended
        try:
            self.connect(name, _PROBE_SECONDS).close()
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # too busy to be asked
            return True
        return True

    def _names(self) -> list[Name]:
        try:
            entries = os.listdir(self.folder)
        except OSError:
            return []
        return [name for entry in entries if (name := Name.parse(entry))]

    @contextlib.contextmanager
    def _path(self, name: Name) -> Iterator[str]:
        """Yield a path to a socket that is short enough for its address: 107 bytes."""
        path = str(self.folder / str(name))
        if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
            yield path
            return
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{folder}/{name}"
        finally:
            os.close(folder)


def _new_socket() -> _socket.socket:
    # Not `socket.socket`, which gevent may have put its own in the place of.
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _CLOSE_ON_EXEC)


@functools.cache
def _namespace_of(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return 0


def _own_namespace() -> int:
    # By process id, since a forked child inherits what is remembered here.
    return _namespace_of(os.getpid())
