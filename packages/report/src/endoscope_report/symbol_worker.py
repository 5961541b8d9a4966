"""The process that reads symbols: `python -I -m endoscope_report.symbol_worker MEMORY CPU`.

It reads one request from its standard input, writes one answer to its standard output, and
ends. Debug information is a complicated format read by native code, and the file may be
damaged or hostile: what goes wrong here ends this process only.

A message is a header (magic, length of the head, length of the body), the head as JSON, and
the body. A request's head is `{"file": path, "addresses": [...]}`, its body a symcache made
before or empty. An answer's head is `{"frames": [...]}`, with for each address a list of
`[function, file, line]`, innermost first, or `{"error": text}`; its body the symcache, if it
was made just now.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import IO, Any

from endoscope_report import elf
from endoscope_report.demangle import demangler
from endoscope_report.symbol_table import hide_empty_parts

MESSAGE_BYTES = 2**30
"""No message is longer."""

_HEADER = struct.Struct("<8sQQ")
_MAGIC = b"endosym1"
_NAME_CHARACTERS = 1000  # C++ templates have names without end
_INLINED_MOST = 100
_NICE = 10


class MessageError(ValueError):
    """What came through the pipe is no whole message."""


def write_message(stream: IO[bytes], head: Any, body: bytes) -> None:
    """Write a message. `head` is anything that JSON can hold."""
    encoded = json.dumps(head).encode()
    stream.write(_HEADER.pack(_MAGIC, len(encoded), len(body)))
    stream.write(encoded)
    stream.write(body)
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[Any, bytes]:
    """Read a message: its head and its body. Raises `MessageError`."""
    magic, head_bytes, body_bytes = _HEADER.unpack(_exactly(stream, _HEADER.size))
    if magic != _MAGIC or head_bytes + body_bytes > MESSAGE_BYTES:
        raise MessageError("no message of the symbol worker's")
    try:
        head = json.loads(_exactly(stream, head_bytes))
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a message's head is not JSON: {error}") from error
    return head, _exactly(stream, body_bytes)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise MessageError(f"a message ends after {len(content)} bytes instead of {size}")
    return content


def answer(head: Any, symcache: bytes) -> tuple[Any, bytes]:
    """Answer a request: the answer's head and its body."""
    try:
        symcaches = import_module("symbolic.symcache")
        made = b"" if symcache else _make_symcache(head["file"])
        opened = symcaches.SymCache.from_bytes(symcache or made)
        look_up = _lookup(opened)
        return {"frames": [look_up(address) for address in head["addresses"]]}, made
    except Exception as error:  # noqa: BLE001  the library's and the system's, all for whoever asked
        text = str(getattr(error, "message", error)) or type(error).__name__
        return {"error": text.splitlines()[0][:_NAME_CHARACTERS]}, b""


def _make_symcache(file: str) -> bytes:
    with open(file, "rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_COPY) as content:
        if symbols := elf.read(Path(file)).symbols:
            hide_empty_parts(content, symbols)
        whole = bytes(content)  # what is read points into it: it must outlive the archive
    archive = import_module("symbolic.debuginfo").Archive.from_bytes(whole)
    symcache = next(archive.iter_objects()).make_symcache()
    return bytes(symcache.open_stream().read())


def _lookup(symcache: Any) -> Callable[[int], list[tuple[str, str, int]]]:
    demangled = demangler()

    def frames(address: int) -> Iterator[tuple[str, str, int]]:
        for found in symcache.lookup(address)[:_INLINED_MOST]:
            if found.symbol:
                name = demangled(found.symbol)[:_NAME_CHARACTERS]
                yield name, (found.full_path or "")[-_NAME_CHARACTERS:], found.line

    return lambda address: list(frames(address))


def _confine(memory_bytes: int, cpu_seconds: int) -> None:
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CPU, cpu_seconds)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)  # pipes are not concerned
    with suppress(OSError):  # somebody may have taken even that right away
        os.nice(_NICE)


def _limit(kind: int, amount: int) -> None:
    present = resource.getrlimit(kind)[1]
    if present != resource.RLIM_INFINITY:
        amount = min(amount, present)  # it cannot be raised
    resource.setrlimit(kind, (amount, present))


def main() -> None:
    """Serve one request."""
    _confine(int(sys.argv[1]), int(sys.argv[2]))
    write_message(sys.stdout.buffer, *answer(*read_message(sys.stdin.buffer)))


if __name__ == "__main__":
    main()
