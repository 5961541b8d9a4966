"""`python -m leaky_service`: serve until interrupted or terminated."""

from __future__ import annotations

import argparse
import logging

from leaky_service.service import app


def main() -> None:
    """Serve on the address that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m leaky_service", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    # Flask's own server prints one line per request, which would drown everything else.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    print(f"leaky-service: http://{arguments.host}:{arguments.port}", flush=True)
    # One thread: of threads that live for a single request jemalloc may sample none at all.
    app.run(arguments.host, arguments.port, threaded=False)


if __name__ == "__main__":
    main()
