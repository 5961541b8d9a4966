"""Diagnostics inside a host: settings, plugins and server, started and stopped as one."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from endoscope import configuration, directories, forking, settings
from endoscope.assembly import Assembly, assemble
from endoscope.configuration import Configuration
from endoscope.contributions import Problem
from endoscope.errors import EndoscopeError, StartError
from endoscope.index import Index
from endoscope.listener import Address, Listener
from endoscope.processes import frames, supervisors
from endoscope.processes.addressing import Addressing, by_name
from endoscope.processes.operations import Duties
from endoscope.processes.place import Place
from endoscope.processes.presence import Presence
from endoscope.server import Server
from endoscope.workers import allocate_lock, original, start_thread

logger = logging.getLogger("endoscope")


# A child that is forked joins its siblings after this time: most live shorter, or become
# another program.
_SETTLE_SECONDS = 1.0
_APPLICATION_SECONDS = 10.0
_MOMENT_SECONDS = 0.01


class Diagnostics:
    """Running diagnostics. Made by `endoscope.start`; stop it, or use it with `with`.

    `address` is where the service listens, None when diagnostics are not enabled. It goes on
    in forked children, each of which becomes one more process of the service. Two of these
    with different addresses, service names or output directories do not meet.
    """

    def __init__(self, source: Configuration, disabled: Iterable[str] = ()) -> None:
        self._source = source
        self._disabled = tuple(disabled)
        self._lock = allocate_lock()
        self._assembly: Assembly | None = None
        self._presence: Presence | None = None
        self._entering: Presence | None = None  # one that is being made
        self._address: Address | None = None  # as far as it was ever known here
        self._application: Any = None
        self._make_application: Callable[[Address], Any] = lambda _address: None
        self._bell: Any = None  # while a forked child waits: released, it waits no more

    @property
    def address(self) -> Address | None:
        """Where clients reach it, with the port that was really taken."""
        if self._presence is not None and self._presence.address is not None:
            self._address = self._presence.address
        return self._address

    @property
    def place(self) -> Path | None:
        """Where it meets the other processes of the service; None if it does not run."""
        return _place(self._assembly).folder if self._assembly else None

    def start(self) -> None:
        """Start serving, if `enabled`. Raises `SettingsError`, `StartError`, `PluginError`.

        Returns as soon as the listener accepts connections, or another process of the service
        has it; what is slow to import is imported by our threads.
        """
        with self._lock:
            if self._assembly is not None:
                self._hurry()
                return
            if not settings.early(self._source).enabled:
                return
            assembly = assemble(self._source, disabled=self._disabled)
            try:
                presence = self._start(assembly, _refuse_or_warn, is_first=True)
                self._assembly, self._presence = assembly, presence
                presence.start()
            except BaseException:
                self._assembly = self._presence = None
                forking.unwatch(self)
                assembly.stop_workers()
                raise
        # Ended by us, before Python tears down what our threads stand on.
        atexit.register(self.stop)

    def stop(self) -> None:
        """Stop serving and let every thread end. Harmless when nothing runs."""
        # Without a lock: a signal handler may call this in the middle of anything.
        presence, assembly = self._presence, self._assembly
        self._presence = self._assembly = self._application = self._address = None
        self._hurry()
        forking.unwatch(self)
        if presence is None or assembly is None:
            return
        until = time.monotonic() + assembly.settings.core.grace_seconds
        atexit.unregister(self.stop)
        presence.stop(assembly.settings.core.grace_seconds)
        try:
            assembly.plugins.stop(until - time.monotonic())
        finally:
            assembly.stop_workers()

    def drop(self) -> None:
        """Close what a forked child inherited of this, and join as a process of its own, soon.

        Called in the child only.
        """
        self._address = self.address
        for presence in (self._presence, self._entering):
            if presence is not None:
                presence.drop()
        frames.drop_inherited()
        supervisors.note_fork()
        self._lock = allocate_lock()
        self._presence = self._entering = self._application = None
        self._bell = allocate_lock()
        self._bell.acquire()
        start_thread(self._go_on_in_child, "endoscope-member", in_fork=True)

    def wait_until_serving(self, seconds: float = 30.0) -> bool:
        """Block until requests are answered; False if that takes over `seconds`."""
        until = time.monotonic() + seconds
        presence = self._awaited_presence(until)
        left = max(0.0, until - time.monotonic())
        return presence is not None and presence.wait_until_serving(left)

    def application(self) -> Any:
        """Return the ASGI application, guarded as the listener is; None if not enabled.

        For a server of the host's own. The first call imports for half a second.
        """
        presence = self._awaited_presence(time.monotonic() + _APPLICATION_SECONDS)
        assembly = self._assembly
        if assembly is None or presence is None:
            return None
        application = self._application
        if application is None:
            address = presence.address or assembly.settings.core.address
            # A Unix socket is out of any browser's reach, the host's own port is not.
            near = Address(host="localhost") if address.path else address
            application = self._application = self._make_application(near)
        return application

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

    def _start(
        self,
        assembly: Assembly,
        judge: Callable[[tuple[Problem, ...]], None],
        *,
        is_first: bool,
    ) -> Presence:
        """Begin to exist among the processes of the service; nothing is answered yet.

        One that `is_first`, as far as it knows, tells at once whether it has the listener.
        """
        core = assembly.settings.core
        judge(assembly.problems(in_host=True))
        _claim_directories(assembly)
        contributed = {f"/{answer.plugin}": answer.items for answer in assembly.plugins.routes()}
        index = Index(assembly, contributed)

        def make_application(address: Address) -> Any:
            return _make_application(assembly, index, address)

        def make_server(listener: Listener) -> Server:
            make = partial(make_application, listener.address)
            return Server(listener, core.tls, make, core.grace_seconds)

        place = _place(assembly)
        place.claim()
        presence = Presence(
            place,
            core.address,
            Duties(assembly.plugins, by_name(index.routes()), assembly.streams),
            make_server,
        )
        assembly.gathered.find_others = presence.others
        index.served = Addressing(presence).extended(index.routes())
        # From here on there is something that a forked child must drop.
        self._entering = presence
        forking.watch(self)
        try:
            if is_first:
                presence.enter()
            assembly.plugins.start()
        except BaseException:
            presence.abandon()
            raise
        finally:
            self._entering = None
        self._make_application = make_application
        logger.info("diagnostics of %s on %s", core.service_name, presence.address or core.listen)
        return presence

    def _go_on_in_child(self) -> None:
        """Join the siblings, if this child lives long enough to be looked into."""
        self._bell.acquire(timeout=_SETTLE_SECONDS)
        inherited = self._assembly
        if inherited is None:  # stopped meanwhile
            return
        assembly = inherited.again()
        try:
            presence = self._start(assembly, _pass_over, is_first=False)
        except EndoscopeError as error:
            self._assembly = None
            forking.unwatch(self)
            assembly.stop_workers()
            logger.warning("a forked child runs without diagnostics: %s", error.message)
            return
        if self._assembly is not inherited:  # stopped while it began
            forking.unwatch(self)
            presence.abandon()
            assembly.plugins.stop(0)
            assembly.stop_workers()
            return
        self._assembly, self._presence = assembly, presence
        presence.attend()

    def already_running(self) -> Diagnostics | None:
        """Return the diagnostics that run in this process at the same place, if any do."""
        running = [one for one in forking.watched() if isinstance(one, Diagnostics)]
        if not running or not settings.early(self._source).enabled:
            return None
        core = settings.resolve(self._source, {}).core
        place = Place(core.output_directory, core.service_name, core.listen).folder
        return next((one for one in running if one.place == place), None)

    def _hurry(self) -> None:
        """Let a forked child that waits go on at once."""
        if self._bell is not None:
            with contextlib.suppress(RuntimeError):
                self._bell.release()

    def _awaited_presence(self, until: float) -> Presence | None:
        """Return this process's presence; in a child that is still to join, once it has."""
        while self._assembly is not None and self._presence is None:
            self._hurry()
            if time.monotonic() > until:
                break
            original("time", "sleep")(_MOMENT_SECONDS)
        return self._presence


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
    running = diagnostics.already_running()
    if running is not None:
        return running
    diagnostics.start()
    return diagnostics


def _refuse_or_warn(problems: tuple[Problem, ...]) -> None:
    errors = [problem for problem in problems if problem.severity == "error"]
    for problem in problems:
        if problem.severity == "warning":
            logger.warning("%s. %s", problem.message, problem.remedy)
    if errors:
        raise StartError(
            "; ".join(problem.message for problem in errors),
            remedy=" ".join(problem.remedy for problem in errors),
        )


def _pass_over(_problems: tuple[Problem, ...]) -> None:
    """Say nothing: what a forked child finds, its parent has told already."""


def _claim_directories(assembly: Assembly) -> None:
    root = directories.claim(assembly.identity.output_directory)
    for name in assembly.plugins.loaded:
        directories.claim(root / name)


def _place(assembly: Assembly) -> Place:
    core = assembly.settings.core
    return Place(core.output_directory, core.service_name, core.listen)


def _make_application(assembly: Assembly, index: Index, address: Address) -> Any:
    """Build the ASGI application. On a thread of ours, since what it imports is slow."""
    with forking.forks_held_off():
        from endoscope.access import Guard, HostNames
        from endoscope.app import build_app
    app: Any = build_app(index.served, assembly.requests, assembly.streams)
    hosts = HostNames(address, assembly.settings.core.allowed_hosts)
    return Guard(app, assembly.plugins, assembly.authentication, hosts)
