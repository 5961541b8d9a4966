"""From a configuration to settings and plugin instances, inside the host or outside of it.

`Diagnostics`, `endoscope run` and `endoscope doctor` all begin here, so that all three
judge the same configuration in the same way.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Generic, TypeVar

from endoscope import settings as settings_module
from endoscope.configuration import Configuration
from endoscope.contributions import (
    ArchiveMember,
    Call,
    HostIdentity,
    ManifestEntry,
    OtherProcess,
    PluginAnswer,
    PluginContext,
    PluginReport,
    Problem,
)
from endoscope.plugins import FoundPlugin, Plugins, discover
from endoscope.procfs import read_process
from endoscope.settings import RESERVED_NAMES, Settings
from endoscope.workers import Job, Workers

T = TypeVar("T")

# How many requests are worked on at once, and how many plugin calls under a time limit.
# The second serve the first, never the other way round, so that neither waits for itself.
_REQUEST_WORKERS = 8
_CONTRIBUTOR_WORKERS = 8
# Whoever knocks is judged at once, even while slow requests hold all the others.
_AUTHENTICATION_WORKERS = 4
# What is downloaded is made by threads that leave the processor to the host. A client who
# stalls holds none of them.
_STREAM_WORKERS = 8
_STREAM_NICENESS = 10


@dataclass(frozen=True, slots=True)
class Assembly:
    """Everything that exists before anything is served."""

    source: Configuration
    settings: Settings
    identity: HostIdentity
    plugins: Plugins
    requests: Workers
    contributors: Workers
    authentication: Workers
    streams: Workers
    gathered: Gathered
    found: tuple[FoundPlugin, ...]

    def again(self) -> Assembly:
        """Return the same once more, for a forked child: plugins and workers are made anew."""
        return _assembly(self.source, self.settings, self.found)

    def problems(self, *, in_host: bool) -> tuple[Problem, ...]:
        """Return the state of every precondition, core's own and the plugins'."""
        asked = self.plugins.problems(in_host=in_host)
        return (
            *_setting_problems(self),
            *_plugin_problems(self, in_host=in_host),
            *_access_problems(self),
            *(problem for answer in asked for problem in answer.items),
        )

    def stop_workers(self) -> None:
        """Let the worker threads end."""
        self.requests.stop()
        self.contributors.stop()
        self.authentication.stop()
        self.streams.stop()


def assemble(source: Configuration, *, disabled: Iterable[str] = ()) -> Assembly:
    """Validate the settings and make the plugins; `disabled` adds to the setting's.

    Raises `SettingsError`, and `PluginError` with `strict_plugins`. Opens nothing.
    """
    left_out = {*disabled, *settings_module.early(source).plugins.disabled}
    found = discover(left_out, reserved=RESERVED_NAMES)
    working = {plugin.name: plugin.plugin_class.Settings for plugin in found if plugin.plugin_class}
    broken = {plugin.name for plugin in found if not plugin.plugin_class}
    settings = settings_module.resolve(source, working, left_out=broken | left_out)
    return _assembly(source, settings, found)


def _assembly(
    source: Configuration, settings: Settings, found: tuple[FoundPlugin, ...]
) -> Assembly:
    identity = _identity(settings)
    contributors = Workers("contributor", _CONTRIBUTOR_WORKERS)
    gathered = Gathered(settings, contributors)
    plugins = _make_plugins(found, settings, identity, gathered, contributors)
    gathered.source = plugins
    return Assembly(
        source=source,
        settings=settings,
        identity=identity,
        plugins=plugins,
        requests=Workers("request", _REQUEST_WORKERS),
        contributors=contributors,
        authentication=Workers("authentication", _AUTHENTICATION_WORKERS),
        streams=Workers("stream", _STREAM_WORKERS, _STREAM_NICENESS),
        gathered=gathered,
        found=found,
    )


def _make_plugins(
    found: tuple[FoundPlugin, ...],
    settings: Settings,
    identity: HostIdentity,
    gathered: Gathered,
    workers: Workers,
) -> Plugins:
    def make_context(name: str) -> PluginContext[Any]:
        return PluginContext(
            name=name,
            settings=settings.sections[name],
            output_directory=identity.output_directory / name,
            host=identity,
            logger=logging.getLogger(f"endoscope.plugin.{name}"),
            contributions=gathered,
        )

    return Plugins(found, make_context, workers, strict=settings.core.strict_plugins)


def _identity(settings: Settings) -> HostIdentity:
    process, now = read_process(os.getpid()), time.time()
    return HostIdentity(
        service_name=settings.core.service_name,
        service_version=settings.core.service_version,
        pid=os.getpid(),
        process_started=process.unix_started if process else now,
        started=now,
        output_directory=settings.core.output_directory.absolute(),
        endoscope_version=metadata.version("endoscope"),
        python_version=platform.python_version(),
        platform=sys.platform,
    )


class Gathered:
    """What the plugins contribute: the `Contributions` that each plugin is handed.

    `source` is set once the plugins exist, `find_others` once this process has joined the
    others of its service; plugins only ask later.
    """

    source: Plugins

    def __init__(self, settings: Settings, workers: Workers) -> None:
        self._settings = settings
        self._workers = workers
        self.find_others: Callable[[], tuple[OtherProcess, ...]] = tuple

    def archive_members(self, seconds: float) -> tuple[PluginAnswer[ArchiveMember], ...]:
        return self.source.archive_members(seconds)

    def manifest_entries(self, seconds: float) -> tuple[PluginAnswer[ManifestEntry], ...]:
        return self.source.manifest_entries(seconds)

    def other_processes(self) -> tuple[OtherProcess, ...]:
        return self.find_others()

    def plugins(self) -> tuple[PluginReport, ...]:
        return self.source.reports()

    def configuration(self) -> str:
        return self._settings.effective

    def secrets(self) -> frozenset[str]:
        return self._settings.secrets

    def begin(self, function: Callable[[], T], plugin: str) -> Call[T]:
        return _Begun(self._workers, self._workers.submit(function, plugin))


class _Begun(Generic[T]):
    """A plugin's call on a worker thread."""

    def __init__(self, workers: Workers, job: Job[T]) -> None:
        self._workers = workers
        self._job = job
        self.wait = job.wait
        self.outcome = job.outcome

    def abandon(self) -> None:
        self._workers.abandon(self._job)


def _setting_problems(assembly: Assembly) -> list[Problem]:
    core = assembly.settings.core
    problems = [
        Problem("warning", settings_module.describe(assembly.source, mistake))
        for mistake in assembly.settings.warnings
    ]
    if not core.address.is_local and core.tls is None:
        problems.append(
            Problem(
                "warning",
                f"the secret and everything else crosses the network in clear text: {core.listen} "
                "is not loopback and `tls` is not set",
                "Set `tls`, or listen on 127.0.0.1 and forward the port.",
            )
        )
    return problems


def _plugin_problems(assembly: Assembly, *, in_host: bool) -> list[Problem]:
    required = assembly.settings.core.plugins.required
    installed = {report.name for report in assembly.plugins.reports()}
    problems = [
        Problem(
            "error" if failure.plugin in required else "warning",
            f"the plugin {failure.plugin} failed ({failure.hook}): {failure.error}",
            f"Correct or uninstall it, or leave it out: --no-plugin {failure.plugin}.",
        )
        for failure in assembly.plugins.failures
        # In the host the others have been logged already, when they failed.
        if failure.plugin in required or not in_host
    ]
    problems += [
        Problem(
            "error",
            f"the required plugin {name} is not installed",
            f"pip install endoscope-{name}, or take it out of `plugins.required`.",
        )
        for name in required
        if name not in installed and name != "auth"
    ]
    problems += [
        Problem(
            "error",
            f"the required plugin {report.name} is disabled",
            "Take it out of `plugins.required`, or out of `plugins.disabled` and --no-plugin.",
        )
        for report in assembly.plugins.reports()
        if report.disabled and report.name in required and report.name != "auth"
    ]
    return problems


def _access_problems(assembly: Assembly) -> list[Problem]:
    """Fail closed: without an authenticator nothing is served, unless that was asked for."""
    if assembly.plugins.authenticators:
        return []
    if assembly.settings.core.allow_unauthenticated:
        return [
            Problem(
                "warning",
                f"whoever reaches {assembly.settings.core.listen} may do everything: no "
                "authenticator is installed and `allow_unauthenticated` is set",
                "pip install endoscope-auth",
            )
        ]
    return [
        Problem(
            "error",
            "no authenticator is installed, so nothing may be served",
            "pip install endoscope-auth, or set `allow_unauthenticated: true` with a `listen` "
            "address on loopback or a Unix socket.",
        )
    ]
