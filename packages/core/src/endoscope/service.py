"""Which service a command asks: options for it, and a client to ask it with.

For commands of other packages too (entry point `endoscope.commands`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from endoscope import configuration
from endoscope.client import Client, Target
from endoscope.configuration import Configuration
from endoscope.errors import EndoscopeError, ServiceError
from endoscope.replies import Replies

Command = Callable[..., Any]

ALL = "all"
"""In the place of a process's id: every process of the service."""

_DUMP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.prof")


def config_option(function: Command) -> Command:
    """Add `--config`, the service's configuration file."""
    return click.option(
        "--config",
        envvar="ENDOSCOPE_CONFIG",
        type=click.Path(path_type=Path),
        help="The service's configuration file, YAML.  [ENDOSCOPE_CONFIG]",
    )(function)


def access_options(function: Command) -> Command:
    """Add the options that say how to be let in: `--secret`, `--secret-file`, `--ca`."""
    options = [
        click.option(
            "--secret",
            envvar="ENDOSCOPE_SECRET",
            help="The shared secret; better in the environment.  [ENDOSCOPE_SECRET]",
        ),
        click.option(
            "--secret-file", type=click.Path(path_type=Path), help="A file with the shared secret."
        ),
        click.option(
            "--ca",
            type=click.Path(path_type=Path, exists=True),
            help="Authority of the service's certificate, PEM.",
        ),
    ]
    for option in options:
        function = option(function)
    return function


def service_options(function: Command) -> Command:
    """Add the options that say which service is asked: by address, or by its configuration."""
    url = click.option(
        "--url",
        envvar="ENDOSCOPE_URL",
        help="Address: http://host:port, https://host:port or unix:/path.  [ENDOSCOPE_URL]",
    )
    return config_option(access_options(url(function)))


def process_option(function: Command) -> Command:
    """Add `--process`, which says whose answer is wanted of a service that has several."""
    return click.option(
        "--process", metavar="PID|all", help="Which process; all, if there are several."
    )(function)


def process_query(client: Client, process: str | None) -> dict[str, str]:
    """Return the query that addresses `process`, the value of `process_option`.

    Without a value all processes are meant: whoever looks into a service means all of it. The
    only one of a service is asked plainly, without a query.
    """
    if process is not None:
        return {"process": process}
    return {"process": ALL} if len(client.ask("GET", "/processes")) > 1 else {}


def configuration_of(config: Path | None) -> Configuration:
    """Read a configuration file; without one it is empty."""
    return configuration.read(config) if config else Configuration()


def client_of(options: Mapping[str, Any]) -> Client:
    """Return a client of the service that the values of `service_options` mean."""
    secret = secret_of(options)
    if options["url"]:
        return Client(Target.from_url(options["url"], secret, options["ca"]))
    return Client(Target.from_configuration(configuration_of(options["config"]), secret))


def answer_of(
    options: Mapping[str, Any],
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Any:
    """Return the JSON answer of the process that the values of `process_option` mean.

    If they mean all, it is `Replies`.
    """
    client = client_of(options)
    process = process_query(client, options["process"])
    answer = client.ask(method, path, {**(query or {}), **process}, body)
    return Replies.parse(answer) if process.get("process") == ALL else answer


def secret_of(options: Mapping[str, Any]) -> str | None:
    """Return the secret that the values of `access_options` mean; None if they mean none."""
    secret: str | None = options["secret"]
    if secret is None and options["secret_file"] is not None:
        return read_secret(options["secret_file"])
    return secret


def read_secret(file: Path) -> str:
    """Return the secret in a file, without the end of its line. Raises `EndoscopeError`."""
    try:
        return file.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise EndoscopeError(
            f"{file}: cannot be read: {reason}", remedy="Put the secret into it."
        ) from error


def is_dump_name(name: str) -> bool:
    """Return whether a heap dump can have this name; as the service's own check."""
    return _DUMP_NAME.fullmatch(name) is not None


def dumps_of(client: Client) -> list[str]:
    """Return the names of the service's heap dumps, newest first; at least one.

    A name becomes that of a file here, so nothing else than a dump's is believed.
    """
    names = [row["name"] for row in client.ask("GET", "/memory/dumps")]
    if not names:
        raise EndoscopeError("there is no heap dump", remedy="Make one: endoscope dump.")
    if not all(map(is_dump_name, names)):
        raise ServiceError(
            "The service lists dumps under names that no dump can have",
            remedy="Is this the address of the diagnostics listener?",
        )
    return names
