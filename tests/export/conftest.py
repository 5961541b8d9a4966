"""A small core: real threads, real time limits, plugins that are lists."""

from __future__ import annotations

import io
import json
import logging
import tarfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from endoscope import (
    ArchiveMember,
    EndoscopeError,
    HostIdentity,
    ManifestEntry,
    PluginAnswer,
    PluginContext,
    PluginFailure,
    PluginReport,
    Request,
)
from endoscope_export import ExportPlugin, ExportSettings
from endoscope_export.processes import Told

if TYPE_CHECKING:
    from collections.abc import Callable

STARTED = 1_700_000_000.0


@dataclass
class Plugins:
    """What the plugins of one process contribute: what a test puts in."""

    contributed: dict[str, list[ArchiveMember]] = field(default_factory=dict)
    entries: dict[str, list[ManifestEntry]] = field(default_factory=dict)
    hook_failures: dict[str, list[PluginFailure]] = field(default_factory=dict)
    hook_seconds: dict[str, float] = field(default_factory=dict)

    def archive_members(self, seconds: float) -> tuple[PluginAnswer[ArchiveMember], ...]:
        names = sorted(self.contributed.keys() | self.hook_failures.keys())
        return tuple(
            PluginAnswer(
                name,
                tuple(
                    replace(member, path=f"{name}/{member.path}")
                    for member in self.contributed.get(name, ())
                ),
                self.hook_seconds.get(name, 0.0),
                tuple(self.hook_failures.get(name, ())),
            )
            for name in names
        )

    def manifest_entries(self, seconds: float) -> tuple[PluginAnswer[ManifestEntry], ...]:
        return tuple(PluginAnswer(name, tuple(items)) for name, items in self.entries.items())


@dataclass
class Other(Plugins):
    """Implements `OtherProcess`: its sources are asked for over calls that fail once it ended.

    It ends after `answers` answers, and hangs in all that comes then if it `hangs`.
    """

    pid: int = 0
    answers: int = 10**9
    hangs: bool = False
    process_started: float = STARTED + 1
    asked: int = 0
    closed: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def archive_members(self, seconds: float) -> tuple[PluginAnswer[ArchiveMember], ...]:
        self.answer(seconds)
        return tuple(
            replace(answer, items=tuple(map(self._remote, answer.items)))
            for answer in super().archive_members(seconds)
        )

    def manifest_entries(self, seconds: float) -> tuple[PluginAnswer[ManifestEntry], ...]:
        self.answer(seconds)
        return super().manifest_entries(seconds)

    def close(self) -> None:
        self.closed += 1

    def answer(self, seconds: float) -> None:
        self.asked += 1
        if self.asked <= self.answers:
            return
        if self.hangs:
            self.released.wait(seconds)
        raise EndoscopeError(f"process {self.pid} has ended")

    def _remote(self, member: ArchiveMember) -> ArchiveMember:
        def fetch() -> Any:
            self.answer(30)
            source = member.source
            if isinstance(source, Path):
                return source.open("rb")
            return source() if callable(source) else source

        return replace(member, source=fetch)


@dataclass
class SmallCore(Plugins):
    """Implements `Contributions`."""

    load_failures: list[PluginFailure] = field(default_factory=list)
    secret_values: frozenset[str] = frozenset({"test-secret-123"})
    yaml: str = "service_name: router\nshared_secret: '********'\n"
    others: list[Other] = field(default_factory=list)

    def other_processes(self) -> tuple[Other, ...]:
        return tuple(self.others)

    def plugins(self) -> tuple[PluginReport, ...]:
        names = {"export", *self.contributed, *self.entries, *self.hook_failures}
        working = [
            PluginReport(name, f"endoscope-{name}", "0.1.0", ("endoscope_archive_members",), ())
            for name in sorted(names)
        ]
        broken = [
            PluginReport(failure.plugin, "stranger", "1", (), (failure,))
            for failure in self.load_failures
        ]
        return (*working, *broken)

    def configuration(self) -> str:
        return self.yaml

    def secrets(self) -> frozenset[str]:
        return self.secret_values

    def begin(self, function: Callable[[], Any], plugin: str) -> Begun:
        return Begun(function)


class Begun:
    """A call on a thread of its own."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._ended = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None
        self.abandoned = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001
            self._error = error
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        return self._ended.wait(seconds)

    def outcome(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result

    def abandon(self) -> None:
        self.abandoned = True


@dataclass
class Export:
    """The plugin in its small core, and an archive out of it."""

    core: SmallCore
    plugin: ExportPlugin

    @property
    def handler(self):
        (route,) = self.plugin.endoscope_routes()
        return route.handler

    def stream(self, *, every_process: bool = False, **query: str):
        return self.handler(
            Request("GET", "/diagnostics/export", query=query, every_process=every_process)
        )

    def download(self, **query: Any) -> bytes:
        return b"".join(self.stream(**query).chunks)

    def unpacked(self, **query: Any) -> dict[str, bytes]:
        return _unpack(self.download(**query))

    def manifest(self, **query: Any) -> dict[str, Any]:
        return json.loads(self.unpacked(**query)["manifest.json"])


def _unpack(archive: bytes) -> dict[str, bytes]:
    """Return each file's name, in the archive's order, and its bytes."""
    opened = tarfile.open(  # noqa: SIM115
        fileobj=io.BytesIO(archive), mode="r:gz", encoding="utf-8", errors="surrogateescape"
    )
    with opened:
        return {member.name: opened.extractfile(member).read() for member in opened}


@pytest.fixture
def core() -> SmallCore:
    return SmallCore()


@pytest.fixture
def other(core):
    """Add another process with these plugins' members."""
    added = []

    def add(pid: int, members: dict[str, list[ArchiveMember]] | None = None, **facts: Any) -> Other:
        added.append(Other(members or {}, pid=pid, **facts))
        core.others.append(added[-1])
        return added[-1]

    yield add
    for each in added:
        each.released.set()


@pytest.fixture
def make_export(core, host, tmp_path):
    def make(**settings: Any) -> Export:
        settings.setdefault("include_binary", False)
        context = PluginContext(
            name="export",
            settings=ExportSettings(**settings),
            output_directory=tmp_path,
            host=host,
            logger=logging.getLogger("endoscope.export"),
            contributions=core,
        )
        return Export(core, ExportPlugin(context))

    return make


@pytest.fixture
def export(make_export) -> Export:
    return make_export()


@pytest.fixture
def wait_until():
    def wait(condition: Callable[[], bool], seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.01)

    return wait


@pytest.fixture
def told():
    """Return what one process tells, from what its plugins answer."""
    return lambda *answers, process=None, **facts: Told(process, answers, **facts)


@pytest.fixture
def host(tmp_path) -> HostIdentity:
    return HostIdentity(
        "router", "2.5.1", 4711, STARTED, STARTED, tmp_path, "0.1.0", "3.11.7", "Linux-x86_64"
    )


@pytest.fixture
def unpack():
    return _unpack
