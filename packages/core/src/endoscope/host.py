"""Diagnostics inside a host: settings, plugins and server, started and stopped as one."""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from endoscope import configuration, directories, forking, settings
from endoscope.assembly import Assembly, assemble
from endoscope.configuration import Configuration
from endoscope.contributions import Problem, Route
from endoscope.errors import StartError
from endoscope.listener import Address, Listener
from endoscope.server import Server
from endoscope.workers import allocate_lock

logger = logging.getLogger("endoscope")


class Diagnostics:
    """Running diagnostics. Made by `endoscope.start`; stop it, or use it with `with`.

    `address` is where it listens, None when diagnostics are not enabled. Two of these in
    one process do not meet.
    """

    def __init__(self, source: Configuration, disabled: Iterable[str] = ()) -> None:
        self._source = source
        self._disabled = tuple(disabled)
        self._lock = allocate_lock()
        self._pid = os.getpid()
        self._assembly: Assembly | None = None
        self._listener: Listener | None = None
        self._server: Server | None = None

    @property
    def address(self) -> Address | None:
        """Where clients reach it, with the port that was really taken."""
        return self._listener.address if self._listener else None

    def start(self) -> None:
        """Start serving, if `enabled`. Raises `SettingsError`, `StartError`, `PluginError`.

        Returns as soon as the listener accepts connections; what is slow to import is
        imported by the server's thread.
        """
        with self._lock:
            if self._server is not None or not settings.early(self._source).enabled:
                return
            assembly = assemble(self._source, disabled=self._disabled)
            try:
                self._start(assembly)
            except BaseException:
                assembly.stop_workers()
                raise
        # Ended by us, before Python tears down what our threads stand on.
        atexit.register(self.stop)

    def stop(self) -> None:
        """Stop serving and let every thread end. Harmless when nothing runs."""
        with self._lock:
            server, assembly = self._server, self._assembly
            self._server = self._assembly = self._listener = None
        # In a forked child all of it is the parent's.
        if server is None or assembly is None or self._pid != os.getpid():
            return
        # Without the lock: a signal handler may call this again while it waits.
        until = time.monotonic() + assembly.settings.core.grace_seconds
        forking.unwatch(self)
        atexit.unregister(self.stop)
        server.stop()
        try:
            assembly.plugins.stop(until - time.monotonic())
        finally:
            assembly.stop_workers()

    def drop(self) -> None:
        """Close what a forked child inherited of this. Called in the child only."""
        if self._server is not None and self._listener is not None:
            self._server.drop()
            self._listener.drop()
        self._lock = allocate_lock()
        self._server = self._assembly = self._listener = None

    def wait_until_serving(self, seconds: float = 30.0) -> bool:
        """Block until requests are answered; False if that takes over `seconds`."""
        return self._server is not None and self._server.wait_until_serving(seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self, assembly: Assembly) -> None:
        core = assembly.settings.core
        _refuse_or_warn(assembly.problems(in_host=True))
        _claim_directories(assembly)
        routes = {f"/{answer.plugin}": answer.items for answer in assembly.plugins.routes()}
        listener = Listener(core.address)
        try:
            server = Server(
                listener,
                core.tls,
                lambda: _make_application(assembly, routes, listener.address),
                core.grace_seconds,
            )
        except BaseException:
            listener.close()
            raise
        try:
            assembly.plugins.start()
        except BaseException:
            server.close()
            raise
        self._pid = os.getpid()
        self._assembly, self._listener, self._server = assembly, listener, server
        forking.watch(self)
        server.start()
        logger.info("diagnostics of %s on %s", core.service_name, listener.address)


def start(
    path: str | os.PathLike[str] | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    disabled_plugins: Iterable[str] = (),
) -> Diagnostics:
    """Start diagnostics inside this process and return them.

        with endoscope.start("router.yaml"):
            serve_forever()

    `path` is a YAML file with a section `plugins.experimental_diagnostics`; `settings`
    is such a section itself, instead of a file. `ENDOSCOPE_*` variables override both.
    Does nothing unless `enabled` is true. Raises `SettingsError` or `StartError`, which
    say what to do.
    """
    if path is not None and settings is not None:
        raise TypeError("give a path or settings, not both")
    source = configuration.read(Path(path)) if path is not None else Configuration()
    if settings is not None:
        source = Configuration(values=dict(settings))
    diagnostics = Diagnostics(source, disabled_plugins)
    diagnostics.start()
    return diagnostics


def _refuse_or_warn(problems: Iterable[Problem]) -> None:
    problems = tuple(problems)
    errors = [problem for problem in problems if problem.severity == "error"]
    for problem in problems:
        if problem.severity == "warning":
            logger.warning("%s. %s", problem.message, problem.remedy)
    if errors:
        raise StartError(
            "; ".join(problem.message for problem in errors),
            remedy=" ".join(problem.remedy for problem in errors),
        )


def _claim_directories(assembly: Assembly) -> None:
    root = directories.claim(assembly.identity.output_directory)
    for name in assembly.plugins.loaded:
        directories.claim(root / name)


def _make_application(
    assembly: Assembly, routes: Mapping[str, tuple[Route, ...]], address: Address
) -> Any:
    """Build the ASGI application. On the server's thread, since what it imports is slow."""
    from endoscope.access import Guard, HostNames
    from endoscope.app import build_app
    from endoscope.index import Index

    app: Any = build_app(Index(assembly, routes).routes(), assembly.requests, assembly.streams)
    hosts = HostNames(address, assembly.settings.core.allowed_hosts)
    return Guard(app, assembly.plugins, assembly.door, hosts)
