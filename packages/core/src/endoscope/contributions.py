"""The frozen records that cross between core and its plugins.

Hooks return these, handlers receive and return these, and nothing else crosses. They
carry data, and callables where work is needed; core decides on which thread, under which
time limit and behind which door that work is done.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, Literal, Protocol, TypeVar

S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# Where everything lives on the listener.
PREFIX = "/diagnostics"

Severity = Literal["info", "warning", "error"]


class Access(enum.Enum):
    """What a route lets its caller do: look, or change something."""

    READ = "read"
    ACT = "act"


class Reach(enum.Enum):
    """Whose answer a route gives, where a service runs as several processes.

    `PROCESS`: that of the process which answers; `?process=PID` asks another one, and what
    `?process=all` answers is collected, JSON only. `GATHERED`: the same, but for `all` the
    handler gathers by itself (`Request.every_process`). `SERVICE`: any process gives the
    same answer, of what lies in the output directory, so that none is to be chosen.
    """

    PROCESS = "process"
    GATHERED = "gathered"
    SERVICE = "service"


# --- what a plugin says about itself --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """One precondition and its state.

    `info` states that it holds (only `endoscope doctor` shows it), `warning` that
    something works less well than it could, `error` that diagnostics must not start.
    `remedy` says what to do, in the imperative; empty only for `info`.
    """

    severity: Severity
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A plugin that broke a rule, and where. `hook` is `load` for the import itself."""

    plugin: str
    hook: str
    error: str
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class PluginReport:
    """What core knows of one installed plugin, working or not."""

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...]
    failures: tuple[PluginFailure, ...]
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class PluginAnswer(Generic[T]):
    """What one plugin returned from one hook call.

    `items` holds the ones of the right type; each of the others, and an exception, is a
    row in `failures`. `seconds` is the wall time that the call took.
    """

    plugin: str
    items: tuple[T, ...]
    seconds: float = 0.0
    failures: tuple[PluginFailure, ...] = ()


# --- requests and answers --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter that a route understands. Others are refused with a 400.

    `choices` empty means free text, which the handler checks.
    """

    name: str
    summary: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One request that passed the door.

    `path_parameters` are the percent-decoded values of the route's `{name}` fields, still
    to be checked by the handler. `headers` has lower-case names. `principal` says who asks.
    `every_process`: what is asked of a `GATHERED` route is asked of the whole service.
    """

    method: str
    path: str
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    principal: str = ""
    every_process: bool = False


@dataclass(frozen=True, slots=True)
class Json:
    """Answer with `value` as JSON. Anything that `json.dumps` takes."""

    value: Any
    status: int = 200


@dataclass(frozen=True, slots=True)
class Text:
    """Answer with text, UTF-8."""

    text: str
    media_type: str = "text/plain"
    status: int = 200


@dataclass(frozen=True, slots=True)
class FileContent:
    """Answer with an open regular file; core streams it, honours `Range` and closes it.

    `size` is in bytes, fixed when the file was opened: exactly that many are sent.
    `name` is what the client saves it as. With a `page_policy`, which becomes its
    Content-Security-Policy, it is a page that a browser shows instead of saving it.
    """

    file: BinaryIO
    size: int
    name: str
    media_type: str = "application/octet-stream"
    page_policy: str = ""


@dataclass(frozen=True, slots=True)
class ByteStream:
    """Answer with bytes made on the way, of a length nobody knows yet.

    Core pulls `chunks` on a worker thread, one ahead of what the client has taken, and
    calls `close()` on it (never while `next()` runs) when the client is served or gone. An
    exception breaks the connection off, so that the client sees an incomplete transfer.
    """

    chunks: Iterator[bytes]
    name: str
    media_type: str = "application/octet-stream"


Answer = Json | Text | FileContent | ByteStream


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that can be asked under `/diagnostics/<plugin>`.

    `path` starts with `/`, or is empty for the prefix itself; `{name}` takes one segment.
    `handler` runs on a worker thread and may block; it returns an `Answer` or raises a
    `RequestError`. `access` is what the caller must have been granted.

    `reach` says whose answer it gives. `lasting` names a state that the route sets, if it
    sets one (`"profiling"`): what was asked of all processes is asked of each process that
    joins them later, too; of routes with the same word only what was asked last.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Callable[[Request], Answer]
    access: Access
    summary: str
    parameters: tuple[Parameter, ...] = ()
    reach: Reach = Reach.PROCESS
    lasting: str = ""


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """What an authenticator gets to see of a request: never its body.

    `headers` has lower-case names; of a repeated header all values, in order. `client`
    is the peer's address, `unix` for a Unix socket.
    """

    method: str
    path: str
    headers: Mapping[str, tuple[str, ...]]
    client: str


@dataclass(frozen=True, slots=True)
class Granted:
    """This authenticator vouches for the request."""

    principal: str
    access: frozenset[Access] = frozenset(Access)


@dataclass(frozen=True, slots=True)
class Refused:
    """This authenticator saw a credential of its kind and does not accept it.

    `reason` goes to the log, never to the client, and holds nothing of the credential.
    """

    reason: str


Verdict = Granted | Refused


# --- the archive -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """One file of the archive.

    `path` is relative, POSIX and without `..`; core puts the plugin's name in front.
    `source` is the content, a file to read (regular, not a symlink), or a callable that
    returns either the content or an open regular file, called under the contributor's time
    limit when its turn has come. `group` is what `?only=` and `?without=` name.
    One that is `slow` comes after all that are not, and takes nothing of their time.
    Text is searched for secrets, and these are masked; what is `verbatim` is sent byte for
    byte, as binary content is: for files that would be broken by it and hold no secret.
    What is `shared` is the same in all processes of the service, and stands once in an archive
    of all of them.
    """

    path: str
    source: bytes | Path | Callable[[], bytes | BinaryIO]
    group: str
    slow: bool = False
    verbatim: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One fact for the manifest, shown as `name: value` under `section`."""

    section: str
    name: str
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class ProcessFact:
    """One fact that tells a process from its siblings, a column of the list of processes."""

    name: str
    value: str | int | float | bool | None


# --- what a plugin is handed ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """Who is being looked at.

    `process_started` and `started`, of diagnostics in it, are Unix seconds. `service_name`
    names the files; `service_version` is empty if nobody has set it. `output_directory` is
    the root of what Endoscope writes.
    """

    service_name: str
    service_version: str
    pid: int
    process_started: float
    started: float
    output_directory: Path
    endoscope_version: str
    python_version: str
    platform: str


class Call(Protocol[T_co]):
    """A call that was begun. Who waits no longer abandons it: its thread is never killed."""

    def wait(self, seconds: float) -> bool:
        """Block until it is over; False if that takes over `seconds`."""

    def outcome(self) -> T_co:
        """Return what the function returned, or raise what it raised. Only once it is over."""

    def abandon(self) -> None:
        """Wait no longer; harmless if it is over."""


class OtherProcess(Protocol):
    """Another process of the service, and what its plugins contribute.

    Sources of its members are bytes, or callables that fetch content from it. Every method
    raises `EndoscopeError` if it has ended or does not answer. To be closed in the end.
    """

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def process_started(self) -> float:
        """When it started, Unix seconds."""

    def archive_members(self, seconds: float) -> tuple[PluginAnswer[ArchiveMember], ...]:
        """Do there what `Contributions.archive_members` does here."""

    def manifest_entries(self, seconds: float) -> tuple[PluginAnswer[ManifestEntry], ...]:
        """Do there what `Contributions.manifest_entries` does here."""

    def close(self) -> None:
        """Let it free what it holds for us."""


class Contributions(Protocol):
    """Read-only access to what the plugins contribute, for those who gather it.

    Every method may be called from any worker thread, and never raises for a plugin's
    fault: that is a row in `PluginAnswer.failures`.
    """

    def archive_members(self, seconds: float) -> tuple[PluginAnswer[ArchiveMember], ...]:
        """Ask every plugin for its archive members, each under a limit of `seconds`.

        Paths come back with the plugin's name in front, checked to be relative and safe.
        """

    def manifest_entries(self, seconds: float) -> tuple[PluginAnswer[ManifestEntry], ...]:
        """Ask every plugin for its manifest entries, each under a limit of `seconds`."""

    def other_processes(self) -> tuple[OtherProcess, ...]:
        """Return the other processes of this service, by process id; none is asked yet."""

    def plugins(self) -> tuple[PluginReport, ...]:
        """Return all installed plugins, those that failed or are disabled included."""

    def configuration(self) -> str:
        """Return the effective configuration as YAML, secrets masked, `${env.X}` kept."""

    def secrets(self) -> frozenset[str]:
        """Return the values that the configuration holds as secrets, for who masks them."""

    def begin(self, function: Callable[[], T], plugin: str) -> Call[T]:
        """Begin to call a `function` of a `plugin` on a thread of its own.

        Raises `TimeLimitError` while too many of the plugin's calls hang.
        """


@dataclass(frozen=True, slots=True)
class PluginContext(Generic[S]):
    """Everything a plugin is given, and all it needs.

    `output_directory` is the plugin's own (mode 0700); core makes it before
    `endoscope_start`. In `endoscope run` and `endoscope doctor`, which look at plugins
    from outside of the host, it need not exist.
    """

    name: str
    settings: S
    output_directory: Path
    host: HostIdentity
    logger: logging.Logger
    contributions: Contributions
