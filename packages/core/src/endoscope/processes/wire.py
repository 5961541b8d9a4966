"""Requests, answers and errors as messages between processes.

An open file travels as itself: who downloads it needs its process no more. A stream stays
where it is made, and is asked for chunk by chunk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, BinaryIO

from endoscope.contributions import (
    Answer,
    ArchiveMember,
    ByteStream,
    FileContent,
    Json,
    ManifestEntry,
    PluginAnswer,
    PluginFailure,
    Request,
    Text,
)
from endoscope.errors import EndoscopeError, TimeLimitError
from endoscope.processes.frames import Frame


class SiblingError(EndoscopeError):
    """What another process of the service answered with, or that it did not answer."""

    def __init__(self, message: str, *, remedy: str, code: str, status: int) -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.status = status  # type: ignore[misc]  # each answer's own, not the class's


def request_frame(request: Request) -> Frame:
    """Put a request into a frame of its own; its credentials stay here."""
    facts = {
        "method": request.method,
        "path": request.path,
        "path_parameters": dict(request.path_parameters),
        "query": dict(request.query),
        "principal": request.principal,
    }
    return Frame(facts, request.body)


def request_of(facts: Mapping[str, Any], body: bytes) -> Request:
    """Return the request that `request_frame` was given."""
    return Request(**facts, body=body)


def answer_frame(answer: Answer) -> tuple[Frame, Iterator[bytes] | None]:
    """Put an answer into a frame; of a stream, its chunks are returned beside it.

    The frame of a file has its descriptor, which is the sender's to close.
    """
    match answer:
        case Json(value, status):
            return Frame({"kind": "json", "value": value, "status": status}), None
        case Text(text, media_type, status):
            facts = {"kind": "text", "media_type": media_type, "status": status}
            return Frame(facts, text.encode("utf-8", "surrogatepass")), None
        case FileContent(file, size, name, media_type, page_policy):
            facts = {
                "kind": "file",
                "size": size,
                "name": name,
                "media_type": media_type,
                "page_policy": page_policy,
            }
            with file:
                return Frame(facts, descriptors=(os.dup(file.fileno()),)), None
        case ByteStream(chunks, name, media_type):
            return Frame({"kind": "stream", "name": name, "media_type": media_type}), chunks
    raise TypeError(f"a handler returned {type(answer).__name__}, which is no Answer")


def answer_of(frame: Frame, more: Callable[[], Iterator[bytes]]) -> Answer:
    """Return the answer in a frame; `more` gives the chunks of a stream.

    Raises `SiblingError` if it is an error.
    """
    facts = frame.message
    match facts["kind"]:
        case "json":
            return Json(facts["value"], facts["status"])
        case "text":
            text = frame.body.decode("utf-8", "surrogatepass")
            return Text(text, facts["media_type"], facts["status"])
        case "file":
            file = os.fdopen(frame.descriptors[0], "rb")
            kind, policy = facts["media_type"], facts["page_policy"]
            return FileContent(file, facts["size"], facts["name"], kind, policy)
        case "stream":
            return ByteStream(more(), facts["name"], facts["media_type"])
    raise error_of(facts)


def error_frame(error: Exception) -> Frame:
    """Put an error into a frame; what is none of ours is told without its inside."""
    if not isinstance(error, EndoscopeError):
        error = EndoscopeError("the handler failed", remedy="The service's log says where.")
    return Frame({"kind": "error", **error.body()})


def error_of(facts: Mapping[str, Any]) -> SiblingError:
    """Return the error that `error_frame` was given."""
    message, remedy = str(facts.get("error", "an unknown answer")), str(facts.get("remedy", ""))
    code, status = str(facts.get("code", "internal_error")), int(facts.get("status", 500))
    return SiblingError(message, remedy=remedy, code=code, status=status)


def raise_error(facts: Mapping[str, Any]) -> None:
    """Raise the error in a message, if it is one; one of time as a `TimeLimitError`."""
    if facts.get("kind") != "error":
        return
    error = error_of(facts)
    if error.code == TimeLimitError.code:
        raise TimeLimitError(error.message, remedy=error.remedy)
    raise error


def member_facts(answers: tuple[PluginAnswer[ArchiveMember], ...]) -> list[dict[str, Any]]:
    """Describe archive members without their sources."""

    def item(member: ArchiveMember) -> dict[str, Any]:
        return {
            "path": member.path,
            "group": member.group,
            "slow": member.slow,
            "verbatim": member.verbatim,
            "shared": member.shared,
        }

    return [_plugin_facts(answer, [item(member) for member in answer.items]) for answer in answers]


def members_of(
    facts: list[dict[str, Any]], fetch: Callable[[int], bytes | BinaryIO]
) -> tuple[PluginAnswer[ArchiveMember], ...]:
    """Return the members that were described; `fetch` gets the content by their number."""
    numbers = iter(range(sum(len(plugin["items"]) for plugin in facts)))

    def member(item: dict[str, Any]) -> ArchiveMember:
        number = next(numbers)
        return ArchiveMember(source=lambda: fetch(number), **item)

    return tuple(_plugin_answer(plugin, tuple(map(member, plugin["items"]))) for plugin in facts)


def entry_facts(answers: tuple[PluginAnswer[ManifestEntry], ...]) -> list[dict[str, Any]]:
    """Describe manifest entries."""
    return [_plugin_facts(answer, list(map(asdict, answer.items))) for answer in answers]


def entries_of(facts: list[dict[str, Any]]) -> tuple[PluginAnswer[ManifestEntry], ...]:
    """Return the entries that were described."""
    return tuple(
        _plugin_answer(plugin, tuple(ManifestEntry(**item) for item in plugin["items"]))
        for plugin in facts
    )


def _plugin_facts(answer: PluginAnswer[Any], items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "plugin": answer.plugin,
        "items": items,
        "seconds": answer.seconds,
        "failures": list(map(asdict, answer.failures)),
    }


def _plugin_answer(facts: dict[str, Any], items: tuple[Any, ...]) -> PluginAnswer[Any]:
    failures = tuple(PluginFailure(**failure) for failure in facts["failures"])
    return PluginAnswer(facts["plugin"], items, facts["seconds"], failures)
