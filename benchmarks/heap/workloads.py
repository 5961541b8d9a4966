"""What services do all day, in eight kinds of small.

Each function sets a workload up and returns one round of it, of some 10 to 40 ms.
"""

from __future__ import annotations

import asyncio
import io
import json
import pickle
import re
import sqlite3
from collections.abc import Callable
from typing import Any

Work = Callable[[], object]


def json_documents() -> Work:
    """Read and write a document of some 300 KB."""
    people = [
        {
            "id": number,
            "name": f"person {number}",
            "email": f"{number}@example.org",
            "scores": [number * 0.5, number * 1.5, number / 7],
            "tags": {"a": number % 3 == 0, "b": None, "c": str(number * 31)},
        }
        for number in range(2000)
    ]
    text = json.dumps(people)
    return lambda: json.dumps(json.loads(text))


def jinja() -> Work:
    """Render a page with a table."""
    import jinja2

    template = jinja2.Environment(autoescape=True).from_string(
        "<table>{% for row in rows %}<tr class={{ loop.cycle('a', 'b') }}>"
        "{% for cell in row %}<td>{{ cell|upper if loop.first else cell }}</td>{% endfor %}"
        "</tr>{% endfor %}</table>"
    )
    rows = [[f"<{row}.{column}>" for column in range(8)] for row in range(400)]
    return lambda: template.render(rows=rows)


class Node:
    """A node of a graph, as programs build them."""

    def __init__(self, number: int) -> None:
        self.name = f"node {number}"
        self.neighbours: list[Node] = []
        self.attributes = {"weight": number * 0.25, "label": str(number)}


def graphs() -> Work:
    """Hold graphs of 144 MB in all, and replace one by another."""

    def graph() -> list[Node]:
        nodes = [Node(number) for number in range(14000)]
        for at, node in enumerate(nodes):
            node.neighbours = [nodes[at * step % len(nodes)] for step in (7, 31, 997)]
        return nodes

    held = [graph() for _ in range(18)]

    def replace() -> None:
        held.append(graph())
        for node in held.pop(0):  # a graph has cycles: do not leave it to the collector
            node.neighbours.clear()

    return replace


def async_tree() -> Work:
    """Spawn tasks that spawn tasks: 1555 of them, of which the leaves sleep for no time."""

    async def grow(depth: int) -> None:
        if depth == 0:
            await asyncio.sleep(0)
        else:
            await asyncio.gather(*(grow(depth - 1) for _ in range(6)))

    loop = asyncio.new_event_loop()
    return lambda: loop.run_until_complete(grow(4))


def pickles() -> Work:
    """Pickle and unpickle nested objects."""
    orders = [
        {
            "number": number,
            "lines": [(f"article {line}", line * 1.1, line) for line in range(8)],
            "customer": {"name": f"customer {number}", "seen": {number, number + 1}},
        }
        for number in range(800)
    ]

    def through() -> None:
        for protocol in (2, 5):
            pickle.loads(pickle.dumps(orders, protocol))  # noqa: S301  our own

    return through


def sqlite_and_text() -> Work:
    """Put words into a database, ask it, and work on the text that comes back."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE words (number INTEGER, word TEXT, line TEXT)")
    word = re.compile(r"\w+")
    lines = [f"line {number}: the quick brown fox, {number * 7} times" for number in range(800)]

    def work() -> str:
        words = [
            (number, found.group().lower(), line)
            for number, line in enumerate(lines)
            for found in word.finditer(line)
        ]
        database.execute("DELETE FROM words")
        database.executemany("INSERT INTO words VALUES (?, ?, ?)", words)
        rows = database.execute("SELECT word, line, number FROM words ORDER BY number DESC")
        out = io.StringIO()
        for each, line, number in rows:
            out.write(f"{number:06} {each.title():<12} {line.replace(',', ';')[:30]}\n")
        return "\n".join(reversed(out.getvalue().splitlines()))

    return work


def asgi() -> Work:
    """Have a Starlette application answer 60 requests, without a server in between."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

    async def answer(request: Any) -> JSONResponse:
        given = await request.json()
        headers = {"x-path": request.url.path}
        return JSONResponse({"echo": given, "query": dict(request.query_params)}, headers=headers)

    routes = [Route(f"/{name}/{{id:int}}", answer, methods=["POST"]) for name in "abcdef"]
    application = Starlette(
        routes=[Mount("/api", routes=routes)],
        middleware=[Middleware(GZipMiddleware, minimum_size=100000)],
    )
    body = json.dumps({"items": [{"id": n, "name": f"item {n}"} for n in range(20)]}).encode()
    loop = asyncio.new_event_loop()

    async def answer_all() -> None:
        for number in range(60):
            await application(_scope("abcdef"[number % 6], number), receive, send)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError("the application did not answer as it should")

    return lambda: loop.run_until_complete(answer_all())


def _scope(name: str, number: int) -> dict[str, Any]:
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    headers += [(b"accept", b"*/*"), (b"user-agent", f"client/{number}".encode())]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": f"/api/{name}/{number}",
        "raw_path": f"/api/{name}/{number}".encode(),
        "root_path": "",
        "query_string": f"page={number}&size=20".encode(),
        "headers": headers,
        "client": ("127.0.0.1", 50000 + number),
        "server": ("127.0.0.1", 80),
    }


def numpy_arrays() -> Work:
    """Calculate with arrays of 64 KB to 4 MB."""
    import numpy as np

    sizes = [64, 256, 1024, 4096]  # KB
    arrays = [np.arange(kilobytes * 128, dtype=float) for kilobytes in sizes]

    def calculate() -> float:
        return sum(
            float((array * 1.5 + array[::-1] - array.mean()).sum())
            for array in arrays
            for _ in range(4096 * 128 // array.size // 2 + 1)
        )

    return calculate


WORKLOADS: dict[str, tuple[Callable[[], Work], int]] = {
    "JSON": (json_documents, 32),
    "jinja": (jinja, 48),
    "graphs": (graphs, 10),
    "async": (async_tree, 24),
    "pickle": (pickles, 40),
    "sqlite": (sqlite_and_text, 24),
    "ASGI": (asgi, 80),
    "numpy": (numpy_arrays, 64),
}
"""By name: how to set it up, and how many rounds are half a second on a machine of today."""

NOT_IN_THE_MEANS = "numpy"
"""Its arrays come from mmap under glibc and not under jemalloc, which halves its time: no
merit of profiling."""
