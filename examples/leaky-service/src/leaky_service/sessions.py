"""The first leak: Python objects, in a cache that nothing is ever evicted from."""

from __future__ import annotations

import itertools

RECENT_PAGES = 500

_sessions: dict[int, list[dict[str, object]]] = {}
_numbers = itertools.count(1)


def remember_session() -> int:
    """Keep a new visitor's session, about 200 KB of small objects, and never drop it."""
    number = next(_numbers)
    _sessions[number] = [
        {"page": f"/visitor/{number}/page/{page}", "position": [page, number + page]}
        for page in range(RECENT_PAGES)
    ]
    return number


def count() -> int:
    """Return how many sessions are remembered."""
    return len(_sessions)
