"""What clients see of the host: requests per second, and how long the slow ones take."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from heap.tables import headings, row

from workers_parts.service import Service
from workers_parts.ways import PLAIN, Way

_CONNECTIONS = 2  # for each worker
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_P99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)")
_REQUESTS = re.compile(r"(\d+) requests in")
_FAILED = re.compile(r"Socket errors:.*|Non-2xx.*")
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Figures:
    """One round of load: requests per second, their 99th percentile and CPU in milliseconds.

    `archives`: how many were downloaded meanwhile; `memory`: in bytes, afterwards.
    """

    rate: float
    p99: float
    cpu: float
    archives: int
    memory: int


def measure(service: Service, way: Way, workers: int, seconds: float) -> Figures:
    """Have the host answer as many requests as it can, in `seconds`."""
    if way.exporting:
        with service.exporting() as archives:
            return _loaded(service, workers, seconds, archives)
    return _loaded(service, workers, seconds, [])


def _loaded(service: Service, workers: int, seconds: float, archives: list[int]) -> Figures:
    connections = f"-c{_CONNECTIONS * workers}"
    command = ["wrk", "-t1", connections, f"-d{seconds:g}s", "--timeout", "30s", "--latency"]
    before = service.cpu()
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{service.port}/"], capture_output=True, text=True, check=True
    )
    cpu = service.cpu() - before
    rate, p99 = _RATE.search(done.stdout), _P99.search(done.stdout)
    requests = _REQUESTS.search(done.stdout)
    failed = _FAILED.search(done.stdout)
    if rate is None or p99 is None or requests is None or failed:
        sys.exit(f"the host does not answer as it should: {_said(failed) or done.stdout}")
    return Figures(
        float(rate[1]),
        float(p99[1]) * _MILLISECONDS[p99[2]],
        cpu / int(requests[1]) * 1e3,
        len(archives),
        service.proportional_bytes(),
    )


def _said(failed: re.Match[str] | None) -> str:
    """Return what wrk said of requests that failed."""
    return failed[0] if failed else ""


def table(found: Mapping[Way, Sequence[Figures]]) -> Iterator[str]:
    """Yield one line for each way: medians, and those of the ratios to the plain host's."""
    titles = ["", "requests/s", "ratio", "p99, ms", "ratio", "CPU per request, ms", "ratio"]
    yield from headings([*titles, "memory, MB", "archives"])
    plain = found[PLAIN]
    for way, rounds in found.items():
        cells = [way.title]
        for name, form in (("rate", ".0f"), ("p99", ".1f"), ("cpu", ".2f")):
            own = [getattr(each, name) for each in rounds]
            pairs = zip(own, (getattr(each, name) for each in plain), strict=True)
            cells.append(format(statistics.median(own), form))
            cells.append(f"{statistics.median(ours / theirs for ours, theirs in pairs):.2f}")
        cells.append(f"{statistics.median(each.memory for each in rounds) / 1e6:.0f}")
        cells.append(str(sum(each.archives for each in rounds)) if way.exporting else "")
        yield row(cells)
