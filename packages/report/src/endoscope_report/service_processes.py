"""Whether a service runs as several processes, of all of which an archive is wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping

from endoscope.client import Client
from endoscope.errors import ServiceError

# A thousand processes, with room for what plugins say of them.
_MOST_BYTES = 4 * 1024 * 1024
_NOT_KNOWN = "not_found"


def of_all_processes(client: Client) -> Mapping[str, str]:
    """Return what to ask `GET /export` for so that it is of all processes of a service.

    That is nothing where there is one, and where the service is too old to know of others. Raises
    `ServiceError` if it cannot be asked.
    """
    try:
        listed = _listed(client)
    except ServiceError as error:
        if error.code != _NOT_KNOWN:
            raise
        return {}
    return {"process": "all"} if isinstance(listed, list) and len(listed) > 1 else {}


def _listed(client: Client) -> object:
    with client.download("/processes") as answer:
        content = b""
        for chunk in answer.chunks:
            content += chunk
            if len(content) > _MOST_BYTES:
                return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
