"""From a handler's `Answer` to a Quart response, `Range` and `HEAD` included."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from quart import Request as QuartRequest
from quart import Response
from werkzeug.http import parse_range_header, quote_etag

from endoscope.contributions import Answer, ByteStream, FileContent, Json, Text
from endoscope.errors import EndoscopeError, RangeNotSatisfiableError
from endoscope.streams import file_chunks, pull
from endoscope.workers import Workers


def error_response(error: EndoscopeError) -> Response:
    """Answer with the one shape of an error."""
    return Response(
        json.dumps(error.body()),
        status=error.status,
        headers=error.headers(),
        content_type="application/json",
    )


def to_response(answer: Answer, request: QuartRequest, workers: Workers) -> Response:
    """Turn what a handler returned into the response to `request`."""
    match answer:
        case Json(value, status):
            # Compact, but one line to the end: friendly to `curl` and to a log.
            text = json.dumps(value, ensure_ascii=False) + "\n"
            return Response(text, status=status, content_type="application/json")
        case Text(text, media_type, status):
            return Response(text, status=status, content_type=f"{media_type}; charset=utf-8")
        case FileContent():
            return _file_response(answer, request, workers)
        case ByteStream():
            return _stream_response(answer, request, workers)
    raise TypeError(f"a handler returned {type(answer).__name__}, which is no Answer")


def _stream_response(answer: ByteStream, request: QuartRequest, workers: Workers) -> Response:
    headers = {"Content-Disposition": _attachment(answer.name)}
    if request.method == "HEAD":
        _close(workers, answer.chunks)
        response = Response(b"", headers=headers, content_type=answer.media_type)
        del response.headers["Content-Length"]  # nobody knows it, and it is not 0
        return response
    response = Response(
        pull(workers, answer.chunks), headers=headers, content_type=answer.media_type
    )
    # Quart's own limit covers the whole body and would cut it without a word.
    response.timeout = None
    return response


def _close(workers: Workers, chunks: Iterator[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        workers.submit(close)


def _file_response(answer: FileContent, request: QuartRequest, workers: Workers) -> Response:
    etag = quote_etag(_identity(answer))
    try:
        start, stop = _range(request, answer.size, etag)
    except RangeNotSatisfiableError:
        workers.submit(answer.file.close)
        raise
    headers = {
        "Content-Disposition": _attachment(answer.name),
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Content-Length": str(stop - start),
    }
    partial = (start, stop) != (0, answer.size)
    if partial:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{answer.size}"
    status = 206 if partial else 200
    if request.method == "HEAD":
        workers.submit(answer.file.close)
        return Response(b"", status=status, headers=headers, content_type=answer.media_type)
    body = pull(workers, file_chunks(answer.file, start, stop - start))
    response = Response(body, status=status, headers=headers, content_type=answer.media_type)
    response.timeout = None
    return response


def _range(request: QuartRequest, size: int, etag: str) -> tuple[int, int]:
    """Return which bytes are asked for, `start` to `stop` exclusive; all if not one range."""
    condition = request.headers.get("If-Range")
    if condition is not None and condition != etag:
        return 0, size
    wanted = parse_range_header(request.headers.get("Range"))
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return 0, size
    found = wanted.range_for_length(size)
    if found is None:
        raise RangeNotSatisfiableError(
            f"the range asked for lies outside of the file's {size} bytes",
            size=size,
            remedy="Ask without Range, or for bytes that exist.",
        )
    return found


def _identity(answer: FileContent) -> str:
    """Name this very content: files here are never rewritten in place, only replaced."""
    status = os.fstat(answer.file.fileno())
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{answer.size:x}"


def _attachment(name: str) -> str:
    return f'attachment; filename="{name}"'
