"""The listening socket: where, bound by us before anything is served.

Binding it ourselves lets a taken port reach the caller, keeps the process's umask
untouched, and sets what the server has no setting for.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from endoscope.errors import StartError
from endoscope.workers import original

# How long data that the client does not acknowledge keeps a connection alive. The server
# has no write timeout of its own, so without this a vanished client keeps its descriptor.
_UNACKNOWLEDGED_MILLISECONDS = 120_000
_BACKLOG = 100
_ADDRESS = re.compile(r"(\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]/\s]+)):(?P<port>[0-9]{1,5})")


# Addresses that mean "every interface" when listening, and how to reach them from here.
_REACHABLE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@dataclass(frozen=True, slots=True)
class Address:
    """`host` and `port`, or `path` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it: loopback or a Unix socket."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def reachable(self) -> Address:
        """The address at which who listens here is reached from this machine."""
        return Address(_REACHABLE.get(self.host, self.host), self.port, self.path)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Parse `host:port`, `[v6]:port` or `unix:/path`; ValueError says what is accepted."""
    if text.startswith("unix:/") and "\0" not in text:
        return Address(path=text.removeprefix("unix:"))
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(
            f"{text!r} is not an address; write `127.0.0.1:8089`, `[::1]:8089` or `unix:/path`"
        )
    if match["v6"]:
        try:
            ipaddress.IPv6Address(match["v6"])
        except ValueError:
            raise ValueError(f"{match['v6']!r} is not an IPv6 address") from None
    return Address(host=match["v6"] or match["host"], port=int(match["port"]))


class Listener:
    """A bound, listening, close-on-exec socket. `address` has the port really taken."""

    def __init__(self, address: Address, bound: socket.socket | None = None) -> None:
        """Bind the address, unless another process has `bound` it and sent the socket."""
        if bound is None:
            bound = _bind_unix(address) if address.path else _bind_tcp(address)
        self.socket = bound
        self._identity = _identity(address.path) if address.path else None
        self.address = (
            address if address.path else Address(host=address.host, port=bound.getsockname()[1])
        )

    @classmethod
    def received(cls, descriptor: int, address: Address) -> Self:
        """Return the listener that a descriptor is of, which is closed with it."""
        bound = original("socket", "socket")(fileno=descriptor)
        bound.setblocking(False)
        return cls(address, bound)

    def share(self) -> Listener:
        """Return the same listener on a descriptor of its own; both are to be closed."""
        return Listener.received(os.dup(self.socket.fileno()), self.address)

    def close(self, *, last: bool = True) -> None:
        """Close the socket; the `last` one removes the file of a Unix socket if it is still ours.

        Until then the kernel keeps those who connect waiting for the others.
        """
        self.socket.close()
        path = self.address.path
        if last and path and self._identity == _identity(path):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def drop(self) -> None:
        """Close an inherited socket in a forked child; the file is the parent's."""
        self.socket.close()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _bind_tcp(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, ValueError) as error:  # ValueError: no host can be called so
        reason = error.strerror if isinstance(error, OSError) else "this is no host's name"
        raise StartError(
            f"cannot listen on {address}: {reason}",
            remedy="Set `listen` to an address of this machine, for example 127.0.0.1:8089.",
        ) from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MILLISECONDS
        )
    return _listening(listener, address, place)


def _bind_unix(address: Address) -> socket.socket:
    _remove_stale(address)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # On Linux the socket's file takes its mode from the descriptor: 0600 from its first
    # moment, without a umask that other threads would see.
    os.fchmod(listener.fileno(), 0o600)
    return _listening(listener, address, address.path)


def _listening(
    listener: socket.socket, address: Address, place: str | tuple[object, ...]
) -> socket.socket:
    try:
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _refusal(address, error) from error
    listener.setblocking(False)
    return listener


def _remove_stale(address: Address) -> None:
    """Remove a socket file that nobody listens on any more; leave everything else."""
    try:
        if not stat.S_ISSOCK(os.lstat(address.path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):  # then binding fails, and says why
                os.unlink(address.path)
        except OSError:
            return


def _refusal(address: Address, error: OSError) -> StartError:
    remedies = {
        errno.EADDRINUSE: "Stop what listens there, or set `listen` to a free address.",
        errno.EACCES: "Set `listen` to a port above 1023, or a directory that may be written.",
        errno.EADDRNOTAVAIL: "Set `listen` to an address of this machine.",
        errno.ENOENT: f"Create the directory {Path(address.path).parent}.",
    }
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StartError(
        f"cannot listen on {address}: {reason}",
        remedy=remedies.get(error.errno or 0, "Set `listen` to another address."),
        code="listen",
    )
