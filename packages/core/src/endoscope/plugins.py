"""The plugin door: find, block and isolate plugins, and ask them.

Nobody else touches pluggy. Each hook is a typed method of `Plugins`; each plugin is
called alone, its results are checked one by one, and what goes wrong is recorded against
it while the others go on.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import PurePosixPath
from typing import Any, TypeVar, get_args

import pluggy

from endoscope import hookspecs
from endoscope.contributions import (
    Access,
    AccessRequest,
    ArchiveMember,
    Granted,
    ManifestEntry,
    Parameter,
    PluginAnswer,
    PluginContext,
    PluginFailure,
    PluginReport,
    Problem,
    ProcessFact,
    Refused,
    Route,
    Severity,
    Verdict,
)
from endoscope.errors import PluginError, TimeLimitError
from endoscope.plugin import Plugin, PluginSettings
from endoscope.workers import Workers

T = TypeVar("T")

GROUP = "endoscope"
# At most this many distinct failures are kept per process; a plugin that fails in ever new
# words must not grow the host's heap.
_FAILURES_KEPT = 200
# A hook that is asked at start-up or while stopping must not hold the host up.
_HOOK_SECONDS = 10.0
_MOMENT = 0.1
_FACT_SECONDS = 1.0
_MOST_ITEMS = 100_000
_LONGEST_MESSAGE = 1000
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_ROUTE_PATH = re.compile(r"(/([A-Za-z0-9._~-]|\{[A-Za-z_][A-Za-z0-9_]*\})+)*")

logger = logging.getLogger("endoscope.plugins")


@dataclass(frozen=True, slots=True)
class FoundPlugin:
    """An installed entry point: its class, or why there is none."""

    name: str
    distribution: str
    version: str
    plugin_class: type[Plugin[Any]] | None = None
    failure: PluginFailure | None = None
    disabled: bool = False


def discover(disabled: Iterable[str], reserved: Iterable[str]) -> tuple[FoundPlugin, ...]:
    """Import every plugin that is installed, in the order of their names.

    `disabled` ones are listed but not imported. Names in `reserved`, and names that two
    distributions claim, are failures.
    """
    disabled, reserved = frozenset(disabled), frozenset(reserved)
    points = _entry_points()
    found = []
    for name in sorted({point.name for point in points}):
        claimants = [point for point in points if point.name == name]
        found.append(_find(name, claimants, disabled, reserved))
    return tuple(found)


def _entry_points() -> list[metadata.EntryPoint]:
    """Return the group's entry points, those that an editable install shows twice once."""
    unique = {
        (point.name, point.value, _distribution(point)[0]): point
        for point in metadata.entry_points(group=GROUP)
    }
    return list(unique.values())


def _distribution(point: metadata.EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("", "")


def _find(
    name: str,
    claimants: list[metadata.EntryPoint],
    disabled: frozenset[str],
    reserved: frozenset[str],
) -> FoundPlugin:
    distribution, version = _distribution(claimants[0])
    if name in disabled:
        return FoundPlugin(name, distribution, version, disabled=True)
    error = _unusable_name(name, claimants, reserved)
    plugin_class = None
    if not error:
        try:
            plugin_class = claimants[0].load()
        except (Exception, SystemExit) as raised:  # noqa: BLE001  a stranger's module may do anything
            error = _describe(raised)
        else:
            error = _unusable_class(plugin_class)
    if error:
        return FoundPlugin(name, distribution, version, failure=PluginFailure(name, "load", error))
    return FoundPlugin(name, distribution, version, plugin_class)


def _unusable_name(
    name: str, claimants: list[metadata.EntryPoint], reserved: frozenset[str]
) -> str:
    if len(claimants) > 1:
        both = " and ".join(sorted(_distribution(point)[0] for point in claimants))
        return f"{both} both claim the name {name!r}; uninstall one of them"
    if not _NAME.fullmatch(name):
        return f"{name!r} is no plugin name; use lower-case letters, digits, `-` and `_`"
    if name in reserved:
        return f"the name {name!r} is reserved; the plugin's author must choose another"
    return ""


def _unusable_class(loaded: object) -> str:
    if not isinstance(loaded, type) or not issubclass(loaded, Plugin):
        return f"the entry point names {loaded!r}, which is no subclass of endoscope.Plugin"
    settings: object = loaded.Settings
    if not isinstance(settings, type) or not issubclass(settings, PluginSettings):
        return f"its Settings are {settings!r}, which is no subclass of endoscope.PluginSettings"
    return ""


def _describe(error: BaseException, hook: str = "") -> str:
    if hook == "endoscope_authenticate":
        # Its words may quote the credential, and differ with every request.
        return type(error).__name__
    try:
        text = str(error)[:_LONGEST_MESSAGE]
    except Exception:  # noqa: BLE001  a stranger's __str__ is a stranger's code
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Plugins:
    """The plugins of one running `Diagnostics`, one instance each.

    `make_context` is called per plugin; `workers` carries calls that have a time limit.
    With `strict`, a failure is raised as `PluginError` instead of recorded.
    """

    def __init__(
        self,
        found: Iterable[FoundPlugin],
        make_context: Callable[[str], PluginContext[Any]],
        workers: Workers,
        *,
        strict: bool = False,
    ) -> None:
        self._found = tuple(found)
        self._workers = workers
        self._strict = strict
        self._failures: dict[PluginFailure, None] = {}
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        for plugin in self._found:
            if plugin.failure:
                self._record(plugin.failure)
            elif plugin.plugin_class:
                self._register(plugin.name, plugin.plugin_class, make_context)

    # --- what is there ---------------------------------------------------------------

    @property
    def loaded(self) -> tuple[str, ...]:
        """The names of the plugins that work, in order."""
        return tuple(sorted(name for name, _ in self._manager.list_name_plugin()))

    @property
    def authenticators(self) -> tuple[str, ...]:
        """The plugins that implement `endoscope_authenticate`."""
        return self._implementers("endoscope_authenticate")

    @property
    def failures(self) -> tuple[PluginFailure, ...]:
        """Everything that went wrong so far, oldest first."""
        return tuple(self._failures)

    def reports(self) -> tuple[PluginReport, ...]:
        """Describe all installed plugins, working or not."""
        return tuple(
            PluginReport(
                name=plugin.name,
                distribution=plugin.distribution,
                version=plugin.version,
                hooks=self._hooks_of(plugin.name),
                failures=tuple(f for f in self._failures if f.plugin == plugin.name),
                disabled=plugin.disabled,
            )
            for plugin in self._found
        )

    # --- the hooks, in call order ----------------------------------------------------

    def launch_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that the plugins want set; `PluginError` on a conflict."""
        wanted: dict[str, tuple[str, str]] = {}
        for name in self._implementers("endoscope_launch_environment"):
            answer = self._ask_one(
                name,
                "endoscope_launch_environment",
                Mapping,
                {"environment": environment},
                _HOOK_SECONDS,
            )
            for variable, value in [pair for item in answer.items for pair in item.items()]:
                owner, other = wanted.setdefault(variable, (name, value))
                if other != value:
                    raise PluginError(
                        f"the plugins {owner} and {name} both set {variable}, differently",
                        remedy=f"Leave one out: --no-plugin {name}.",
                    )
        return {variable: value for variable, (_, value) in wanted.items()}

    def problems(self, *, in_host: bool) -> tuple[PluginAnswer[Problem], ...]:
        """Ask for the state of every precondition."""
        return self._ask("endoscope_problems", Problem, {"in_host": in_host}, _HOOK_SECONDS)

    def start(self) -> None:
        """Tell every plugin to take up work."""
        self._ask("endoscope_start", None, seconds=_HOOK_SECONDS)

    def routes(self) -> tuple[PluginAnswer[Route], ...]:
        """Ask for every route; paths are still relative to the plugin's prefix."""
        answers = self._ask("endoscope_routes", Route, seconds=_HOOK_SECONDS)
        return tuple(self._unique_routes(answer) for answer in answers)

    def authenticate(self, request: AccessRequest) -> tuple[Verdict, ...]:
        """Ask every authenticator. One that fails, or answers nonsense, has refused."""
        answers = self._ask("endoscope_authenticate", (Granted, Refused), {"request": request})
        return tuple(
            verdict
            for answer in answers
            for verdict in (
                *answer.items,
                *(Refused(f"{f.plugin} failed: {f.error}") for f in answer.failures),
            )
        )

    def process_facts(self) -> dict[str, Any]:
        """Ask for what tells this process from its siblings; the first to name a fact has it."""
        answers = self._ask_together("endoscope_process_facts", ProcessFact, _FACT_SECONDS)
        facts: dict[str, Any] = {}
        for fact in itertools.chain.from_iterable(answer.items for answer in answers):
            facts.setdefault(fact.name, fact.value)
        return facts

    def archive_members(self, seconds: float) -> tuple[PluginAnswer[ArchiveMember], ...]:
        """Ask for archive members; paths come back below a folder of the plugin's name."""
        answers = self._ask_together("endoscope_archive_members", ArchiveMember, seconds)
        return tuple(self._below_own_folder(answer) for answer in answers)

    def manifest_entries(self, seconds: float) -> tuple[PluginAnswer[ManifestEntry], ...]:
        """Ask for facts for the manifest."""
        return self._ask_together("endoscope_manifest_entries", ManifestEntry, seconds)

    def stop(self, seconds: float) -> None:
        """Tell every plugin to lay down work, the last started first, `seconds` in all.

        When they are over, each that is left gets a moment.
        """
        until = time.monotonic() + seconds
        for name in reversed(self._implementers("endoscope_stop")):
            left = max(_MOMENT, until - time.monotonic())
            self._ask_one(name, "endoscope_stop", None, seconds=left)

    # --- how they are asked ------------------------------------------------------------

    def _ask(
        self,
        hook: str,
        expected: Any,
        arguments: Mapping[str, Any] | None = None,
        seconds: float | None = None,
    ) -> tuple[PluginAnswer[Any], ...]:
        return tuple(
            self._ask_one(name, hook, expected, arguments or {}, seconds)
            for name in self._implementers(hook)
        )

    def _ask_together(
        self, hook: str, expected: Any, seconds: float
    ) -> tuple[PluginAnswer[Any], ...]:
        """Ask all plugins at once: those that hang cost one time limit, not one each."""
        watch = _Stopwatch()

        def begin(name: str) -> Callable[[], list[Any]]:
            try:
                job = self._workers.submit(self._caller(name, hook, {}), name)
            except TimeLimitError as error:
                return partial(_fail, error)
            job.when_done(partial(watch.stop, name))
            return lambda: self._workers.finish(job, max(0.0, seconds - watch.seconds("")))

        calls = {name: begin(name) for name in self._implementers(hook)}
        answers = [self._judge(name, hook, expected, call) for name, call in calls.items()]
        return tuple(
            dataclasses.replace(answer, seconds=watch.seconds(answer.plugin)) for answer in answers
        )

    def _ask_one(
        self,
        name: str,
        hook: str,
        expected: Any,
        arguments: Mapping[str, Any] | None = None,
        seconds: float | None = None,
    ) -> PluginAnswer[Any]:
        """Ask one plugin; `expected` is the type of its items, None if it returns nothing."""
        call = self._caller(name, hook, arguments or {})
        if seconds is not None:
            call = partial(self._workers.call, call, seconds, name)
        return self._judge(name, hook, expected, call)

    def _judge(
        self, name: str, hook: str, expected: Any, call: Callable[[], list[Any]]
    ) -> PluginAnswer[Any]:
        """Check one by one what a plugin's hook returns."""
        began = time.monotonic()
        failures: list[PluginFailure] = []
        items: list[Any] = []
        try:
            for item in call():
                error = _wrong_type(item, expected) or _flaw(item)
                if error:
                    failures.append(PluginFailure(name, hook, error))
                else:
                    items.append(item)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code may raise anything
            late = isinstance(error, TimeLimitError)
            failures.append(PluginFailure(name, hook, _describe(error, hook), timed_out=late))
        for failure in failures:
            self._record(failure)
        return PluginAnswer(name, tuple(items), time.monotonic() - began, tuple(failures))

    def _caller(
        self, name: str, hook: str, arguments: Mapping[str, Any]
    ) -> Callable[[], list[Any]]:
        others = [plugin for other, plugin in self._manager.list_name_plugin() if other != name]
        caller = self._manager.subset_hook_caller(hook, remove_plugins=others)

        def call() -> list[Any]:
            # A generator's body is the plugin's code too: it runs here, inside the limit.
            results = (item for result in caller(**arguments) for item in _items(result))
            items = list(itertools.islice(results, _MOST_ITEMS + 1))
            if len(items) > _MOST_ITEMS:
                raise PluginError(f"returned more than {_MOST_ITEMS} items")
            return items

        return call

    def _register(
        self,
        name: str,
        plugin_class: type[Plugin[Any]],
        make_context: Callable[[str], PluginContext[Any]],
    ) -> None:
        try:
            self._manager.register(plugin_class(make_context(name)), name=name)
            self._manager.check_pending()
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's constructor
            message = self._misspelt_hook(name) or _describe(error)
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            self._record(PluginFailure(name, "load", message))

    def _misspelt_hook(self, name: str) -> str:
        plugin = self._manager.get_plugin(name)
        known = _hook_names()
        for caller in self._manager.get_hookcallers(plugin) or () if plugin else ():
            if caller.name not in known:
                near = difflib.get_close_matches(caller.name, known, n=1, cutoff=0)
                return f"there is no hook {caller.name}; did you mean {near[0]}?"
        return ""

    def _record(self, failure: PluginFailure) -> None:
        if self._strict:
            raise PluginError(f"plugin {failure.plugin}, {failure.hook}: {failure.error}")
        if failure not in self._failures and len(self._failures) < _FAILURES_KEPT:
            self._failures[failure] = None
            logger.warning("plugin %s, %s: %s", failure.plugin, failure.hook, failure.error)

    def _implementers(self, hook: str) -> tuple[str, ...]:
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        return tuple(sorted(implementation.plugin_name for implementation in implementations))

    def _hooks_of(self, name: str) -> tuple[str, ...]:
        return tuple(hook for hook in _hook_names() if name in self._implementers(hook))

    def _unique_routes(self, answer: PluginAnswer[Route]) -> PluginAnswer[Route]:
        kept: dict[tuple[str, str], Route] = {}
        failures = []
        for route in answer.items:
            if (route.method, route.path) in kept:
                error = f"{route.method} {route.path} is contributed twice"
                failures.append(PluginFailure(answer.plugin, "endoscope_routes", error))
            else:
                kept[route.method, route.path] = route
        return self._with(answer, kept.values(), failures)

    def _below_own_folder(self, answer: PluginAnswer[ArchiveMember]) -> PluginAnswer[ArchiveMember]:
        kept, failures = [], []
        for member in answer.items:
            error = _unsafe_path(member.path)
            if error:
                failures.append(PluginFailure(answer.plugin, "endoscope_archive_members", error))
            else:
                kept.append(dataclasses.replace(member, path=f"{answer.plugin}/{member.path}"))
        return self._with(answer, kept, failures)

    def _with(
        self, answer: PluginAnswer[T], items: Iterable[T], failures: Iterable[PluginFailure]
    ) -> PluginAnswer[T]:
        failures = tuple(failures)
        for failure in failures:
            self._record(failure)
        return dataclasses.replace(
            answer, items=tuple(items), failures=(*answer.failures, *failures)
        )


def _fail(error: Exception) -> list[Any]:
    raise error


class _Stopwatch:
    """How long each of several calls has taken that began together."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ended: dict[str, float] = {}

    def stop(self, name: str) -> None:
        self._ended[name] = time.monotonic()

    def seconds(self, name: str) -> float:
        """Return until when `name` ran, or for how long it has been running."""
        return self._ended.get(name, time.monotonic()) - self._began


def _hook_names() -> tuple[str, ...]:
    return tuple(name for name in vars(hookspecs) if name.startswith("endoscope_"))


def _items(result: object) -> Iterable[Any]:
    """Return the items of a hook's result; a lone record counts as one item."""
    if isinstance(result, Mapping | str | bytes) or dataclasses.is_dataclass(result):
        return (result,)
    return result if isinstance(result, Iterable) else (result,)


def _wrong_type(item: object, expected: Any) -> str:
    if expected is not None and isinstance(item, expected):
        return ""
    types = expected if isinstance(expected, tuple) else (expected,)
    wanted = " or ".join("nothing" if t is None else t.__name__ for t in types)
    return f"returned {type(item).__name__} where {wanted} is due"


def _flaw(item: object) -> str:
    """Say what is wrong inside of a record, which Python does not check; empty if nothing."""
    match item:
        case Route():
            return _unusable_route(item)
        case Problem(severity, message, remedy):
            texts = isinstance(message, str) and isinstance(remedy, str)
            sound = texts and severity in get_args(Severity)
        case Granted(principal, access):
            levels = isinstance(access, frozenset) and all(isinstance(a, Access) for a in access)
            sound = levels and isinstance(principal, str)
        case Refused(reason):
            sound = isinstance(reason, str)
        case ArchiveMember(group=group, slow=slow, verbatim=verbatim, shared=shared):
            flags = all(isinstance(flag, bool) for flag in (slow, verbatim, shared))
            sound = isinstance(group, str) and flags
        case ManifestEntry(section, name, value):
            texts = isinstance(section, str) and isinstance(name, str)
            sound = texts and isinstance(value, str | int | float | None)
        case ProcessFact(name, value):
            sound = isinstance(name, str) and isinstance(value, str | int | float | None)
        case Mapping():
            sound = all(
                isinstance(text, str) and "\0" not in text for p in item.items() for text in p
            )
        case _:
            sound = True
    return "" if sound else f"returned a {type(item).__name__} with a field of a wrong type"


def _unusable_route(route: Route) -> str:
    if route.method not in ("GET", "POST", "DELETE"):
        return f"{route.method!r} is no method of a route; use GET, POST or DELETE"
    if not isinstance(route.path, str) or not _ROUTE_PATH.fullmatch(route.path):
        return f"the path {route.path!r} is not of the form /word/{{field}}"
    fields = re.findall(r"\{(\w+)\}", route.path)
    if len(set(fields)) < len(fields):
        return f"the path {route.path!r} has two fields of one name"
    sound = {
        "handler": callable(route.handler),
        "access": isinstance(route.access, Access),
        "summary": isinstance(route.summary, str),
        "parameters": all(isinstance(parameter, Parameter) for parameter in route.parameters),
    }
    wrong = " and ".join(name for name, fine in sound.items() if not fine)
    return f"{wrong} of {route.method} {route.path}: of a wrong type" if wrong else ""


def _unsafe_path(path: object) -> str:
    if not isinstance(path, str) or not path:
        return f"the path {path!r} of an archive member is not text"
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != path or "\0" in path:
        return f"the path {path!r} of an archive member is not relative, plain and without .."
    return ""
