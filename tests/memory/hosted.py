"""A memory plugin without a server, for tests and for the programs that they start."""

import logging
import re
from pathlib import Path

from endoscope import HostIdentity, PluginContext, Request
from endoscope_memory.plugin import MemoryPlugin
from endoscope_memory.settings import MemorySettings


def make_plugin(directory, **settings):
    host = HostIdentity("router", "2.5.1", 1, 0.0, 0.0, Path(directory).parent, "0", "3", "linux")
    logger = logging.getLogger("endoscope.memory")
    return MemoryPlugin(
        PluginContext("memory", MemorySettings(**settings), Path(directory), host, logger, None)
    )


def ask(plugin, method, path, body=b"", **query):
    """Call the handler of the route that `path` leads to."""
    for route in plugin.endoscope_routes():
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>.+)", route.path)
        if route.method == method and (match := re.fullmatch(pattern, path, re.DOTALL)):
            return route.handler(Request(method, path, match.groupdict(), query, body=body))
    raise LookupError(f"{method} {path}")
