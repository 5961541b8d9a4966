"""Text as services write it into their logs: the same for the same seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

KINDS = ("access", "json", "secrets")
"""A web server's log, one JSON object per line, and one where every tenth line has a secret."""


def text(kind: str, size: int, seed: int = 1) -> bytes:
    """Return at least `size` bytes of log."""
    chance = random.Random(seed)  # noqa: S311  the same text every time
    lines: list[bytes] = []
    while size > 0:
        line = _LINES[kind](chance).encode()
        lines.append(line)
        size -= len(line)
    return b"".join(lines)


def _access(chance: random.Random) -> str:
    path = "/".join(chance.choices(("api", "v1", "users", "orders", "items", "search"), k=3))
    address = f"10.1.{chance.randrange(256)}.{chance.randrange(256)}"
    return (
        f"{address} - - [12/Mar/2026:10:11:{_two(chance)} "
        f'+0000] "GET /{path}?page={chance.randrange(99)} HTTP/1.1" 200 {chance.randrange(99999)} '
        f'"https://example.org/{path}" "Mozilla/5.0 (X11; Linux x86_64)"\n'
    )


def _json(chance: random.Random) -> str:
    record = {
        "time": f"2026-03-12T10:11:{_two(chance)}Z",
        "level": chance.choice(("info", "info", "warning")),
        "logger": f"router.{chance.choice(('http', 'plan', 'cache'))}",
        "message": "request served",
        "trace_id": f"{chance.getrandbits(128):032x}",
        "milliseconds": chance.randrange(5000),
    }
    return json.dumps(record) + "\n"


def _secrets(chance: random.Random) -> str:
    if chance.randrange(10):
        return _access(chance)
    value = f"{chance.getrandbits(96):024x}"
    return chance.choice(
        (
            f"connecting to postgres://app:{value}@db.internal:5432/app\n",
            f"Authorization: Bearer {value}\n",
            f"settings: api_key={value} retries=3\n",
        )
    )


def _two(chance: random.Random) -> str:
    return f"{chance.randrange(60):02}"


_LINES: dict[str, Callable[[random.Random], str]] = {
    "access": _access,
    "json": _json,
    "secrets": _secrets,
}
