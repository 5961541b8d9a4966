"""From a handler's `Answer` to a Quart response, `Range` and `HEAD` included."""

from __future__ import annotations

import json
import os
import re

from quart import Request as QuartRequest
from quart import Response
from werkzeug.http import quote_etag

from endoscope.chunks import close_chunks, file_chunks
from endoscope.contributions import Answer, ByteStream, FileContent, Json, Text
from endoscope.errors import EndoscopeError, RangeNotSatisfiableError
from endoscope.streams import pull
from endoscope.workers import Workers

# One range of bytes (RFC 9110, section 14.1.2); anything else is answered with the whole.
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.IGNORECASE)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


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
            return Response(_encoded(text), status=status, content_type="application/json")
        case Text(text, media_type, status):
            content_type = f"{media_type}; charset=utf-8"
            return Response(_encoded(text), status=status, content_type=content_type)
        case FileContent():
            return _file_response(answer, request, workers)
        case ByteStream():
            return _stream_response(answer, request, workers)
    raise TypeError(f"a handler returned {type(answer).__name__}, which is no Answer")


def discard(answer: Answer) -> None:
    """Free what an answer holds that nobody waits for any more. May block."""
    match answer:
        case FileContent(file):
            file.close()
        case ByteStream(chunks):
            close_chunks(chunks)


def _encoded(text: str) -> bytes:
    """Return UTF-8; half a character, as in a file name that is no text, is escaped as in JSON."""
    return text.encode("utf-8", "backslashreplace")


def _stream_response(answer: ByteStream, request: QuartRequest, workers: Workers) -> Response:
    headers = {"Content-Disposition": _disposition("attachment", answer.name)}
    if request.method == "HEAD":
        workers.submit(lambda: discard(answer))
        response = Response(b"", headers=headers, content_type=answer.media_type)
        del response.headers["Content-Length"]  # nobody knows it, and it is not 0
        return response
    response = Response(
        pull(workers, iter(answer.chunks)), headers=headers, content_type=answer.media_type
    )
    # Quart's own limit covers the whole body and would cut it without a word.
    response.timeout = None
    return response


def _file_response(answer: FileContent, request: QuartRequest, workers: Workers) -> Response:
    etag = quote_etag(_identity(answer))
    try:
        wanted = _range(request, answer.size, etag)
    except RangeNotSatisfiableError:
        workers.submit(answer.file.close)
        raise
    partial = wanted is not None
    start, stop = wanted or (0, answer.size)
    headers = {
        **_shown_or_saved(answer),
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Content-Length": str(stop - start),
    }
    if partial:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{answer.size}"
    status = 206 if partial else 200
    if request.method == "HEAD":
        workers.submit(answer.file.close)
        response = Response(b"", status=status, headers=headers, content_type=answer.media_type)
        response.headers["Content-Length"] = headers["Content-Length"]  # not that of no body
        return response
    body = pull(workers, file_chunks(answer.file, start, stop - start))
    response = Response(body, status=status, headers=headers, content_type=answer.media_type)
    response.timeout = None
    return response


def _range(request: QuartRequest, size: int, etag: str) -> tuple[int, int] | None:
    """Return the one range asked for, `start` to `stop` exclusive; None means the whole."""
    if request.method != "GET":
        return None
    condition = request.headers.get("If-Range")
    wanted = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if wanted is None or (condition is not None and condition != etag):
        return None
    first, last = wanted.groups()
    if not first and not last:
        return None
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size:
        raise RangeNotSatisfiableError(
            f"the range asked for lies outside of the file's {size} bytes",
            size=size,
            remedy="Ask without Range, or for bytes that exist.",
        )
    return start, stop


def _identity(answer: FileContent) -> str:
    """Name this very content: files here are never rewritten in place, only replaced."""
    status = os.fstat(answer.file.fileno())
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{answer.size:x}"


def _shown_or_saved(answer: FileContent) -> dict[str, str]:
    if not answer.page_policy:
        return {"Content-Disposition": _disposition("attachment", answer.name)}
    return {
        "Content-Disposition": _disposition("inline", answer.name),
        "Content-Security-Policy": answer.page_policy,
    }


def _disposition(kind: str, name: str) -> str:
    return f'{kind}; filename="{_UNSAFE.sub("_", name)}"'
