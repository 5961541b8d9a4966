"""What the services of these tests do for each request: they allocate, and keep some of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

_SEEN = "import os, sys; print([name for name in os.environ if name in sys.argv])"
_ASKS = "import sys; print([name for name in sys.modules if name.startswith('endoscope')])"
_VARIABLES = ("LD_PRELOAD", "MALLOC_CONF", "PYTHONMALLOC")
_kept: dict[int, list[dict[str, object]]] = {}


def answer(path: str) -> bytes:
    if path == "/children":
        return json.dumps(_children()).encode()
    items = [{"id": n, "name": f"item {n}", "tags": ["a", "b", str(n)]} for n in range(100)]
    _kept[len(_kept) % 500] = items
    return json.dumps({"pid": os.getpid(), "items": len(items)}).encode()


def _children() -> dict[str, str]:
    """Return what programs that this process starts have in their environment, and import."""
    environment = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    return {
        "program": str([n for n in _VARIABLES if f"\n{n}=" in f"\n{environment}"]),
        "python": _python(_SEEN, *_VARIABLES),
        "modules": _python(_ASKS),
    }


def _python(code: str, *words: str) -> str:
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
