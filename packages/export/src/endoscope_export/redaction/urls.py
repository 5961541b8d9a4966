"""Passwords and tokens in URLs: `scheme://user:password@host`."""

from __future__ import annotations

import re

from endoscope_export.redaction.expressions import expression
from endoscope_export.redaction.findings import MASK, Finding
from endoscope_export.redaction.swallowing import Length

_LONGEST = 1024
_SHORTEST_TOKEN = 20


def url_finding(data: bytes, _start: int, end: int) -> Finding | None:
    """Judge one of `URLS`: of several beginnings before one `@` the last counts."""
    at = end - 1
    sign = data.rfind(b"://", max(0, at - _LONGEST), at)
    if sign < 1 or data[sign - 1 : sign].isspace():
        return None
    web = data[max(0, sign - 8) : sign].lower().endswith(_WEB)
    more = (_RAW_AT if web else _RAW_AT_OR_SLASH).match(data, at + 1, at + _LONGEST // 2)
    user, colon, password = data[sign + 3 : more.end() - 1 if more else at].partition(b":")
    start = sign + 3 + (len(user) + 1 if colon else 0)
    secret = password if colon else user
    if b"/" in user or user.startswith(b"[") or not _is_secret(secret, is_password=bool(colon)):
        return None
    return Finding(start, sign, "url", Length(len(secret)))


def _is_secret(text: bytes, *, is_password: bool) -> bool:
    if not text or text.startswith(MASK) or _PLACEHOLDER.fullmatch(text):
        return False
    if is_password:
        return not _PORT.match(text)
    return len(text) >= _SHORTEST_TOKEN and not _NO_TOKEN.search(text)


URLS = expression(rb"://[^\s@\"'<>\x00]*@")
# In a path on the web an `@` is common; a database's name has none.
_WEB = (b"http", b"https", b"ws", b"wss", b"ftp", b"ssh", b"git")
_RAW_AT_OR_SLASH = re.compile(rb"(?:[^\s?#@\"'<>,;)\]}]{1,128}@){1,3}(?=[\w\[])")
_RAW_AT = re.compile(rb"(?:[^\s/?#@\"'<>,;)\]}]{1,128}@){1,3}(?=[\w\[])")
_PORT = re.compile(rb"\d{1,5}[/?#]")
_NO_TOKEN = re.compile(rb"[/?#]")
_PLACEHOLDER = re.compile(rb"\$\{[^{}]*\}|\$\w+|%\w+%|%s|\{\w*\}|\{\{.*\}\}|<[^<>]*>|\*+|[xX.]{3,}")
