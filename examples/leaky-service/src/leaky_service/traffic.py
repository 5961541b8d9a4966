"""`python -m leaky_service.traffic`: send the service requests for some seconds."""

from __future__ import annotations

import argparse
import http.client
import itertools
import sys
import time
from typing import NamedTuple
from urllib.parse import urlsplit

ROUND = (
    ("POST", "/visit"),
    ("GET", "/report"),
    ("GET", "/events"),
    ("GET", "/report.z"),
)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
LONGEST = 3600.0
TIMEOUT = 10.0


class Tally(NamedTuple):
    """How many requests were answered, and how many were not."""

    answered: int
    failed: int


class Server(NamedTuple):
    """Where the requests go."""

    host: str
    port: int


def parse_url(url: str) -> Server:
    """Read a URL, which must be this machine's own: the traffic makes its target leak."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise argparse.ArgumentTypeError("only http:// on 127.0.0.1, localhost or [::1]")
    return Server(parts.hostname, parts.port or 80)


def parse_seconds(text: str) -> float:
    """Read a time that the traffic is to last: more than none, and not for ever."""
    seconds = float(text)
    if not 0 < seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"between 0 and {LONGEST:.0f}")
    return seconds


def parse_rate(text: str) -> float:
    """Read a rate in requests per second."""
    rate = float(text)
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError("between 0 and 1000")
    return rate


def ask(server: Server, method: str, path: str) -> bool:
    """Send one request and say whether it succeeded."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=TIMEOUT)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return response.status == http.HTTPStatus.OK


def wait_for(server: Server, seconds: float) -> bool:
    """Wait until the service answers; False if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not ask(server, "GET", "/"):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def send(server: Server, seconds: float, rate: float) -> Tally:
    """Send `rate` requests per second, one after the other, or as many as get answered."""
    results = {True: 0, False: 0}
    begun = time.monotonic()
    for number, (method, path) in enumerate(itertools.cycle(ROUND)):
        due = number / rate
        if max(due, time.monotonic() - begun) >= seconds:
            break
        time.sleep(max(0.0, begun + due - time.monotonic()))
        results[ask(server, method, path)] += 1
    return Tally(answered=results[True], failed=results[False])


def main() -> int:
    """Send what the command line asks for; 1 if any request failed."""
    parser = argparse.ArgumentParser(prog="python -m leaky_service.traffic", description=__doc__)
    parser.add_argument("--url", type=parse_url, default="http://127.0.0.1:8000")
    parser.add_argument("--seconds", type=parse_seconds, default=10.0)
    parser.add_argument("--rate", type=parse_rate, default=30.0, help="requests per second")
    arguments = parser.parse_args()
    if not wait_for(arguments.url, TIMEOUT):
        print("leaky-service does not answer: is it running?", file=sys.stderr)
        return 1
    tally = send(arguments.url, arguments.seconds, arguments.rate)
    print(f"{tally.answered} requests answered, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
