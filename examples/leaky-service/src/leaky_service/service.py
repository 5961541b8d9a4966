"""The web service: two endpoints that leak, three that do not."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response

from leaky_service import reports, sessions, streams

app = Flask("leaky_service")


@app.get("/")
def index() -> dict[str, Any]:
    """Say who this is, and how much has leaked so far."""
    return {
        "service": "leaky-service",
        "pid": os.getpid(),
        "sessions": sessions.count(),
        "streams": streams.count(),
    }


@app.post("/visit")
def visit() -> dict[str, Any]:
    """Welcome a visitor. Leaks Python objects."""
    return {"session": sessions.remember_session()}


@app.get("/events")
def events() -> Response:
    """Send the first events of a stream. Leaks native memory."""
    return Response(streams.open_stream(), headers={"Content-Encoding": "deflate"})


@app.get("/report")
def report() -> Response:
    """Send a report. Leaks nothing."""
    return Response(reports.build_report(), mimetype="application/json")


@app.get("/report.z")
def compressed_report() -> Response:
    """Send the report, compressed. Leaks nothing."""
    return Response(reports.compress_report(), mimetype="application/zlib")
