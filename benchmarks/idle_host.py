"""The host that `idle_cost.py` measures: a trivial WSGI application, standard library only.

    idle_host.py DESCRIPTOR [CONFIG]

It serves on the listening socket that it inherits as DESCRIPTOR, and prints one line of
JSON: when its first line ran (`time.monotonic`), and the CPU seconds used up to then. With
CONFIG it first starts diagnostics itself, as a host without `endoscope run` would.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any


def main() -> None:
    """Serve until terminated."""
    if len(sys.argv) > 2:
        import endoscope

        endoscope.start(sys.argv[2])
    first_line = {"first_line": time.monotonic(), "cpu": time.process_time()}
    import json

    print(json.dumps(first_line), flush=True)
    serve(int(sys.argv[1]))


def serve(descriptor: int) -> None:
    """Answer every request on the inherited socket, each on a thread of its own."""
    import socket
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    class Handler(WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=descriptor)
    server.server_name, server.server_port = server.socket.getsockname()
    server.setup_environ()
    server.set_app(application)
    # Without a time limit on its wait it does not wake up by itself: what does, is not the host.
    server.serve_forever(poll_interval=None)  # type: ignore[arg-type]


def application(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Say hello."""
    body = b"hello\n"
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


if __name__ == "__main__":
    main()
