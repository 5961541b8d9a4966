"""The settings: core's own keys, one section per plugin, and every mistake at once."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from endoscope import configuration
from endoscope.configuration import (
    Configuration,
    Mistake,
    Place,
    expand,
    has_reference,
    is_reference,
)
from endoscope.errors import SettingsError
from endoscope.listener import Address, parse_address
from endoscope.plugin import PluginSettings

ENVIRONMENT_PREFIX = "ENDOSCOPE_"
# Variables of that prefix which are not settings: the file to read, the launcher's own, and
# what the client commands take.
RESERVED_VARIABLES = frozenset(
    {"ENDOSCOPE_CONFIG", "ENDOSCOPE_RUN", "ENDOSCOPE_URL", "ENDOSCOPE_SECRET"}
)
# Plugins that exist, so that a section for one which is not installed can name its package.
KNOWN_PLUGINS = ("auth", "memory", "export", "process", "python")

MASK = "********"
_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|token|credential|private|api_?key|(^|_)(key|pwd|pass)$",
    re.IGNORECASE,
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class TlsSettings(_Section):
    """TLS on the listener; with `client_ca`, only for clients with a certificate of it."""

    certificate: Path
    """Certificate chain, PEM."""
    key: Path
    """Private key of the certificate, PEM."""
    client_ca: Path | None = None
    """Authority that must have signed a client's certificate, PEM."""

    @field_validator("certificate", "key", "client_ca")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None and not os.access(value, os.R_OK):
            raise ValueError(f"the file {value} cannot be read")
        return value


class PluginChoice(_Section):
    """Which installed plugins must load, and which are left out."""

    required: tuple[str, ...] = ("auth",)
    """Plugins without which the start is refused; `auth` only where it is installed."""
    disabled: tuple[str, ...] = ()
    """Plugins that are not even imported."""


class EarlySettings(_Section):
    """What must be known before any plugin is imported."""

    enabled: bool = False
    """Whether diagnostics run at all. If not: no listener, no thread, no plugin."""
    plugins: PluginChoice = PluginChoice()
    """Which plugins must load, and which are left out."""


class CoreSettings(EarlySettings):
    """Core's own keys of the section."""

    listen: str = "127.0.0.1:8089"
    """Where to listen: `host:port`, `[v6]:port` or `unix:/path`."""
    shared_secret: SecretStr | None = None
    """What clients must know; handed to the authenticator. Best `${env.X}` or `${file./path}`."""
    output_directory: Path = Path("/tmp/router-diagnostics")  # noqa: S108  claimed 0700 or refused
    """Where dumps are written; made with mode 0700 if it does not exist."""
    service_name: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    ] = "router"
    """Name of the service; dumps and archives are named after it."""
    service_version: str = ""
    """Version of the service, for the manifest and the index."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names, beside the listener's own, under which clients may address it."""
    tls: TlsSettings | None = None
    """TLS on the listener; without it, clear text."""
    allow_unauthenticated: bool = False
    """Serve without any authenticator. Only on loopback and Unix sockets."""
    strict_plugins: bool = False
    """Raise a plugin's failure instead of recording it. For plugin authors."""
    grace_seconds: Annotated[float, Field(ge=0, le=60)] = 2.0
    """How long stopping waits for requests in flight, in seconds."""

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        parse_address(value)
        return value

    @model_validator(mode="after")
    def _only_near_clients_unauthenticated(self) -> CoreSettings:
        if self.allow_unauthenticated and not self.address.is_local:
            raise ValueError(
                "`allow_unauthenticated` is only accepted with a `listen` address on loopback "
                f"or a Unix socket, not {self.listen}"
            )
        return self

    @property
    def address(self) -> Address:
        """`listen`, parsed."""
        return parse_address(self.listen)


CORE_KEYS = frozenset(CoreSettings.model_fields)
# No plugin can be called so: its section is a field of the whole model, and `plugins` is an
# address of core's own.
RESERVED_NAMES = frozenset({*CORE_KEYS, "plugins", *dir(CoreSettings)})


@dataclass(frozen=True, slots=True)
class Settings:
    """Valid settings: core's, one section per plugin, and warnings about the rest.

    `effective` is the whole section as YAML for a person: defaults filled in, secrets
    masked, references kept as they were written. `secrets` are the values behind the masks.
    """

    core: CoreSettings
    sections: Mapping[str, PluginSettings]
    effective: str
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    warnings: tuple[Mistake, ...] = ()


def early(source: Configuration) -> EarlySettings:
    """Return what must be known before plugins are imported.

    Mistakes are left for `resolve`, which reports all of them: until then diagnostics
    count as enabled.
    """
    merged, mistakes = _with_environment(EarlySettings, source)
    if mistakes:
        return EarlySettings(enabled=True)
    values, _ = expand(
        {name: merged[name] for name in EarlySettings.model_fields if name in merged}
    )
    try:
        return EarlySettings.model_validate(values)
    except ValidationError:
        return EarlySettings(enabled=True)


def resolve(
    source: Configuration,
    plugins: Mapping[str, type[PluginSettings]],
    *,
    left_out: Iterable[str] = (),
) -> Settings:
    """Validate the whole section, that of every plugin in `plugins` included.

    Environment variables override the file. `left_out` are plugins that are installed but
    disabled or broken, whose sections are passed over. Raises `SettingsError` listing
    every mistake.
    """
    model = _whole_model(plugins)
    merged, mistakes = _with_environment(model, source)
    merged, warnings = _without_strangers(merged, plugins, frozenset(left_out))
    values, unresolved = expand(merged)
    values, misplaced = _with_shared_secret(values, plugins)
    mistakes = (*mistakes, *unresolved, *misplaced)
    try:
        valid = model.model_validate(values)
    except ValidationError as error:
        explained = {mistake.key for mistake in mistakes}
        found = (*mistakes, *(m for m in _mistakes(error, model) if m.key not in explained))
        raise _refusal(source, found) from None
    if mistakes:
        raise _refusal(source, mistakes)
    core = CoreSettings.model_construct(
        **{name: getattr(valid, name) for name in CoreSettings.model_fields}
    )
    return Settings(
        core=core,
        sections={name: getattr(valid, name) for name in plugins},
        effective=_effective(valid, merged),
        secrets=frozenset(_secrets(valid.model_dump())),
        warnings=(*warnings, *_unknown_variables(model)),
    )


def _whole_model(plugins: Mapping[str, type[PluginSettings]]) -> type[CoreSettings]:
    sections: dict[str, Any] = {
        name: (section, Field(default_factory=dict, validate_default=True))
        for name, section in plugins.items()
    }
    return create_model("Section", __base__=CoreSettings, **sections)


def _with_environment(
    model: type[BaseModel], source: Configuration
) -> tuple[dict[str, Any], tuple[Mistake, ...]]:
    """Lay the `ENDOSCOPE_*` variables over the file's values; lists and the like are JSON."""
    merged, mistakes = dict(source.values), []
    for variable, text in sorted(os.environ.items()):
        key = _key(variable)
        if not key or key[0] not in model.model_fields:
            continue
        try:
            value: Any = json.loads(text) if _is_composite(_annotation(model, key)) else text
        except ValueError:
            mistakes.append(_unreadable_variable(key))
            continue
        for part in reversed(key):
            value = {part: value}
        merged = _merge(merged, value)
    return merged, tuple(mistakes)


def _key(variable: str) -> tuple[str, ...]:
    """Return the key that an environment variable sets; empty if it is not for us."""
    if not variable.startswith(ENVIRONMENT_PREFIX) or variable in RESERVED_VARIABLES:
        return ()
    return tuple(variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))


def _annotation(model: type[BaseModel], key: Place) -> Any:
    """Return the type of the field at `key`, None if there is none."""
    owner = _model_at(model, key[:-1])
    field = owner.model_fields.get(str(key[-1])) if owner else None
    return field.annotation if field else None


def _is_composite(annotation: Any) -> bool:
    """Tell whether a value of this type cannot be written as plain text."""
    if get_origin(annotation) in (Union, UnionType):
        return any(_is_composite(option) for option in get_args(annotation))
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(
        kind, tuple | list | dict | set | frozenset | BaseModel
    )


def _unreadable_variable(key: tuple[str, ...]) -> Mistake:
    return Mistake(
        key,
        "its environment variable is not JSON",
        f"""Write {_variable(key)} as JSON, for example '["a", "b"]'.""",
    )


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(under, value) if both else value  # type: ignore[arg-type]
    return merged


def _without_strangers(
    merged: Mapping[str, Any],
    plugins: Mapping[str, type[PluginSettings]],
    left_out: frozenset[str],
) -> tuple[dict[str, Any], tuple[Mistake, ...]]:
    """Drop the sections of plugins that are not there, with a warning each."""
    kept: dict[str, Any] = {}
    warnings = []
    for key, value in merged.items():
        if key in CORE_KEYS or key in plugins:
            kept[key] = value
        elif key in left_out:
            continue
        elif key in KNOWN_PLUGINS:
            warnings.append(
                Mistake((key,), "its plugin is not installed", f"pip install endoscope-{key}")
            )
        elif isinstance(value, Mapping) and _nearest(str(key), CORE_KEYS | set(plugins)) is None:
            warnings.append(
                Mistake(
                    (key,), "no plugin of that name is installed", "Install it, or delete this."
                )
            )
        else:
            kept[key] = value
    return kept, tuple(warnings)


def _with_shared_secret(
    values: dict[str, Any], plugins: Mapping[str, type[PluginSettings]]
) -> tuple[dict[str, Any], tuple[Mistake, ...]]:
    """Hand the top-level `shared_secret` to the sections of those that declare the field."""
    handed, misplaced = dict(values), []
    for name, section in plugins.items():
        own = values.get(name)
        if "shared_secret" not in section.model_fields or not isinstance(own, Mapping | None):
            continue
        if own and "shared_secret" in own:
            misplaced.append(
                Mistake(
                    (name, "shared_secret"), "stands in the wrong place", "Move it one level up."
                )
            )
        given = values.get("shared_secret")
        handed[name] = {**(own or {}), **({} if given is None else {"shared_secret": given})}
    return handed, tuple(misplaced)


def _mistakes(error: ValidationError, model: type[BaseModel]) -> tuple[Mistake, ...]:
    return tuple(_mistake(detail, model) for detail in error.errors(include_url=False))


def _mistake(detail: Any, model: type[BaseModel]) -> Mistake:
    key: Place = tuple(detail["loc"])
    if key[1:] == ("shared_secret",):
        key = ("shared_secret",)
    if detail["type"] == "extra_forbidden":
        near = _nearest(str(key[-1]), _siblings(model, key))
        remedy = f"Did you mean `{near}`?" if near else "Delete it."
        return Mistake(key, "unknown key", remedy)
    if detail["type"] == "missing":
        return Mistake(key, "is missing", _missing_remedy(key))
    message = detail["msg"].removeprefix("Value error, ")
    return Mistake(key, message[:1].lower() + message[1:], "")


def _missing_remedy(key: Place) -> str:
    if key == ("shared_secret",):
        return (
            'Set it, best as `shared_secret: "${env.DIAGNOSTICS_SECRET}"` '
            'or `"${file./run/secrets/diagnostics}"`.'
        )
    return "Add it."


def _siblings(model: type[BaseModel], key: Place) -> Iterable[str]:
    owner = _model_at(model, key[:-1])
    return tuple(owner.model_fields) if owner else ()


def _model_at(model: type[BaseModel], key: Place) -> type[BaseModel] | None:
    """Return the model of the section at `key`, None if there is no section there."""
    for name in key:
        field = model.model_fields.get(str(name))
        annotation = field.annotation if field else None
        options = (annotation, *get_args(annotation))
        below = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if not below:
            return None
        model = below[0]
    return model


def _nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, tuple(known), n=1, cutoff=0.7)), None)


def _variable(key: Place) -> str:
    return ENVIRONMENT_PREFIX + "__".join(str(part) for part in key).upper()


def _place(source: Configuration, key: Place) -> str:
    """Say where the value of `key` comes from: a variable if one is set, else the file."""
    for length in range(len(key), 0, -1):
        if _variable(key[:length]) in os.environ:
            return f"environment variable {_variable(key[:length])}"
    return source.place(key)


def describe(source: Configuration, mistake: Mistake) -> str:
    """Say in one line where a mistake is, what it is, and what to do."""
    key = ".".join(str(part) for part in mistake.key) or source.prefix or "settings"
    text = f"{_place(source, mistake.key)}: `{key}`: {mistake.message}"
    return f"{text}. {mistake.remedy}" if mistake.remedy else text


def _refusal(source: Configuration, mistakes: Iterable[Mistake]) -> SettingsError:
    # What two sections share, as the secret, is wrong in both.
    lines = list(dict.fromkeys(describe(source, mistake) for mistake in mistakes))
    if len(lines) == 1:
        return SettingsError(lines[0])
    return SettingsError("\n".join([f"{len(lines)} mistakes in the settings:", *lines]))


def _unknown_variables(model: type[BaseModel]) -> tuple[Mistake, ...]:
    known = {_variable((name,)): name for name in model.model_fields}
    unknown = [
        name
        for name in sorted(os.environ)
        if (key := _key(name)) and key[0] not in model.model_fields
    ]
    return tuple(
        Mistake(
            (name.removeprefix(ENVIRONMENT_PREFIX).lower(),),
            "no setting of that name",
            f"Did you mean {near}?" if (near := _nearest(name, known)) else f"Unset {name}.",
        )
        for name in unknown
    )


def _effective(valid: BaseModel, written: Mapping[str, Any]) -> str:
    dumped = json.loads(valid.model_dump_json())
    for name in set(dumped) - CORE_KEYS:
        dumped[name].pop("shared_secret", None)
    section = {configuration.SECTION: _masked(dumped, written)}
    return yaml.safe_dump({"plugins": section}, sort_keys=False, allow_unicode=True)


def _secrets(value: Any, key: str = "") -> Iterator[str]:
    """Yield every text below `value` that is a secret by its type or by its key's name."""
    secret = _SECRET_NAME.search(key) is not None
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _secrets(item, key if secret else str(name))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _secrets(item, key)
    elif isinstance(value, str) and secret and value:
        yield value


def _masked(value: Any, written: Any, key: str = "") -> Any:
    """Return `value` with secrets masked and references put back as they were written."""
    secret = _SECRET_NAME.search(key) is not None
    if is_reference(written) or (has_reference(written) and not secret):
        return written
    if isinstance(value, dict):
        below = written if isinstance(written, Mapping) else {}
        return {
            name: _masked(item, below.get(name), key if secret else name)
            for name, item in value.items()
        }
    if isinstance(value, list):
        texts = written if isinstance(written, list) and len(written) == len(value) else value
        return [_masked(item, text, key) for item, text in zip(value, texts, strict=True)]
    return MASK if secret and isinstance(value, str) and value else value
