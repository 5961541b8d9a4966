"""Secrets that are known by the name they have: `password: hunter2` and all its kin."""

from __future__ import annotations

import re

from endoscope_export.redaction.assignments import assignment, name_at
from endoscope_export.redaction.expressions import expression
from endoscope_export.redaction.findings import MASK, Finding
from endoscope_export.redaction.key_names import Kind, kind_of
from endoscope_export.redaction.swallowing import Quoted
from endoscope_export.redaction.values import ARGUMENT, secret_value


def key_finding(data: bytes, start: int, _end: int) -> Finding | None:
    """Judge one of `KEY_SIGNS`."""
    return _user_option(data, start) or _named(data, start)


def _named(data: bytes, position: int) -> Finding | None:
    before = _BEFORE_NAME.match(data, position, position + 64)
    name = name_at(data, before.end() if before else position)
    kind = kind_of(name.text) if name else Kind.PLAIN
    if not name or kind is Kind.PLAIN:
        return None
    tie = assignment(data, name)
    value = secret_value(data, name, kind, tie) if tie else None
    if not value:
        return None
    rule = "authorization" if kind is Kind.AUTHORIZATION else "key"
    return Finding(value[0], name.start, rule, value[1])


def _user_option(data: bytes, position: int) -> Finding | None:
    """`curl -u user:password`; two numbers are a user's and a group's instead."""
    found = _USER_OPTION.match(data, position, position + 256)
    if not found or found["ids"] or data.startswith((MASK, b"$"), found.end()):
        return None
    quote = found["quote"]
    return Finding(found.end(), position, "key", Quoted(quote) if quote else ARGUMENT)


_WORDS = rb"""(?:pass(?:word|wd|phrase|code|key|wort)|pwd|secret|token|credential|authorization
|cookie|jwt|contrasena|motdepasse|bearer|sess(?:ion)?[ _.-]?id|master[_-]?auth|requirepass|privkey
|(?:api|access|private|account|shared|client|sign|signing|encrypt|encryption|decryption|master
|session|license|auth|hmac|fernet|storage|deploy|consumer|rsa|tls|ssl|ssh|host|function
|subscription|webhook|service|server|cipher|admin|app|data)[ _.-]?key)""".replace(b"\n", b"")
_NAMES = rb"(?:" + _WORDS + rb"[\w.-]*|(?:pass|pw|psk|key|auth|otp|cred|salt)s?[0-9_.-]*)"
_DIRECTIVES = rb"\b(?-i:SetEnv|setenv|ENV|proxy_set_header|fastcgi_param|uwsgi_param)"

# A word counts only before what may tie it to a value, since to look at it closely costs a
# thousand times as much as to pass over it.
KEY_SIGNS = expression(
    b"(?i)"
    + b"|".join(
        [
            _NAMES + rb"(?:\\*[\"'`]|&(?:quot|apos|#3\d|#x2\d);)?\]?[ \t]*(?:[:=]|[?+]=|%3d)",
            _NAMES + rb"\\*[\"']?,?\s*\\*[\"']?(?:value|content)\b",
            _NAMES + rb"(?:\\*[\"'][\s,>]|>|\s*</)",
            rb"<(?:\w+:)?[\w.-]*" + _NAMES + rb"\s",
            rb"--[\w.-]*" + _NAMES + rb"[ \t\x00]",
            rb"passw\w*[ \t]+[\"']|\bpassw(?:or)?d[ \t]+[^\s]|(?:requirepass|masterauth)[ \t]",
            _DIRECTIVES + rb"[ \t]+[\w.-]*" + _NAMES,
            rb"\s(?:-u|--user|--proxy-user)[ =][\"']?[^\s:\"'/]+:[^\s\"']",
        ]
    )
)
_BEFORE_NAME = re.compile(_DIRECTIVES + rb"[ \t]+(?=\w)|<(?:\w+:)?")
_USER_OPTION = re.compile(
    rb"\s(?:-u|--user|--proxy-user)[ =](?P<quote>[\"'])?[^\s:\"'/]{1,100}:"
    rb"(?P<ids>\d{1,10}(?=\s|$))?"
)
