"""The settings of auth: the secret that clients must know."""

from __future__ import annotations

from pydantic import ConfigDict, SecretStr, field_validator

from endoscope import PluginSettings, Problem

# Below this, guessing is cheap, and the export plugin does not search archives for the
# secret, because so short a text turns up by chance.
SHORT = 8

_REMEDY = (
    "set it to a long random text, best from outside of the file: "
    '`shared_secret: "${env.DIAGNOSTICS_SECRET}"` or `"${file./run/secrets/diagnostics}"`'
)


class AuthSettings(PluginSettings):
    """Settings of auth. Its only field is filled from the top-level `shared_secret`."""

    # A validation error would otherwise quote the value that it refuses.
    model_config = ConfigDict(hide_input_in_errors=True)

    shared_secret: SecretStr
    """What clients must know, sent as `Authorization: Bearer <base64 of its UTF-8 bytes>`."""

    @field_validator("shared_secret")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().strip():
            raise ValueError(f"shared_secret is empty or blank; {_REMEDY}")
        try:
            secret_bytes(value)
        except UnicodeEncodeError:
            raise ValueError(f"shared_secret holds half a character; {_REMEDY}") from None
        return value


def secret_bytes(secret: SecretStr) -> bytes:
    """Return the bytes that a client has to send.

    They are UTF-8, and whatever else stood in an environment variable or a file that Python
    has read with `surrogateescape`.
    """
    return secret.get_secret_value().encode("utf-8", "surrogateescape")


def strength(settings: AuthSettings) -> Problem:
    """Say whether the secret is long enough to be one."""
    if len(secret_bytes(settings.shared_secret)) >= SHORT:
        return Problem("info", f"shared_secret has at least {SHORT} bytes")
    return Problem(
        "warning",
        f"shared_secret has fewer than {SHORT} bytes: it is easily guessed, and archives "
        "are not searched for it",
        "Use a longer one, for example the output of `openssl rand -base64 24`.",
    )
