"""Those who download: curl, which discards what it gets, and one that looks at the beginning."""

from __future__ import annotations

import http.client
import subprocess
import tarfile
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import zstandard

from archive_parts.host import Host
from archive_parts.took import Took

GZIP = ""
ZSTD = "format=tar.zst"
_LONGEST = 900.0
_DECODERS: dict[str, Callable[[], object]] = {
    GZIP: lambda: zlib.decompressobj(16 + zlib.MAX_WBITS),
    ZSTD: lambda: zstandard.ZstdDecompressor().decompressobj(),
}


@dataclass(frozen=True)
class Beginning:
    """Seconds from the request to the first byte of the archive, and to its first file, whole."""

    first_byte: float
    first_entry: float


def download(host: Host, query: str = GZIP, target: Path = Path("/dev/null")) -> Took:
    """Download an archive from a host that does nothing else, and return what it took it."""
    cpu, began = host.cpu(), time.monotonic()
    size = fetch(host, query, target)
    seconds = time.monotonic() - began
    host.rest()
    return Took(seconds, host.cpu() - cpu, size)


def fetch(host: Host, query: str = GZIP, target: Path = Path("/dev/null")) -> int:
    """Have curl download an archive; return how many bytes it has."""
    headers = [f"-H{name}: {value}" for name, value in host.headers.items()]
    url = f"http://127.0.0.1:{host.port}{path(query)}"
    command = ["curl", "-sS", "--fail", *headers, url, "-o", str(target), "-w", "%{size_download}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_LONGEST)
    return int(done.stdout)


def path(query: str) -> str:
    """Return what is asked for."""
    return "/diagnostics/export" + (f"?{query}" if query else "")


def ask(host: Host) -> None:
    """Ask for the index, so that the host has imported what serving takes."""
    with closing(http.client.HTTPConnection("127.0.0.1", host.port, timeout=60)) as connection:
        connection.request("GET", "/diagnostics", headers=host.headers)
        connection.getresponse().read()


def beginning(host: Host, query: str) -> Beginning:
    """Download no more than the first file of an archive."""
    decoder = _DECODERS[query]()
    tar = b""
    began = time.monotonic()
    first_byte = 0.0
    with closing(http.client.HTTPConnection("127.0.0.1", host.port, timeout=60)) as connection:
        connection.request("GET", path(query), headers=host.headers)
        with connection.getresponse() as response:
            while not _has_entry(tar):
                data = response.read1(65536)
                if not data:
                    raise SystemExit("the archive ended before its first file did")
                first_byte = first_byte or time.monotonic() - began
                tar += decoder.decompress(data)  # type: ignore[attr-defined]
            return Beginning(first_byte, time.monotonic() - began)


def _has_entry(tar: bytes) -> bool:
    if len(tar) < tarfile.BLOCKSIZE:
        return False
    head = tarfile.TarInfo.frombuf(tar[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    return len(tar) >= tarfile.BLOCKSIZE + head.size
