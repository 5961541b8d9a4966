"""Secrets that are known by their own shape, whatever stands before them."""

from __future__ import annotations

import re

from endoscope_export.redaction.expressions import expression
from endoscope_export.redaction.findings import MASK, Finding
from endoscope_export.redaction.swallowing import Run, Until


def shape_finding(data: bytes, start: int, end: int) -> Finding | None:
    """Judge one of `SHAPES`."""
    if data.startswith(b"-----", start):
        return _private_key(data, start, end, _END_OF_PEM)
    if data.startswith(b"Private-Lines", start):
        return _private_key(data, start, end, _END_OF_PUTTY)
    shown = _SHOWN.match(data, start, end)
    rule = "authorization" if shown and shown["scheme"] else "token"
    return Finding(shown.end() if shown else start, start, rule, _TOKEN)


def _private_key(data: bytes, start: int, end: int, last: Until) -> Finding | None:
    body = _LINE_BREAK.match(data, end, end + 64)
    begin = body.end() if body else end
    if data.startswith((MASK, b"-----"), begin):
        return None
    return Finding(begin, start, "private_key", last)


_TOKENS = [
    rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",
    rb"gh[pousr]_\w{30}|github_pat_\w{22}",  # GitHub
    rb"gl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent)-[\w-]{16}",  # GitLab
    rb"xox[abceoprs]-[\w-]{10}|xapp-\d-[\w-]{10}",  # Slack
    rb"[sr]k_(?:live|test)_\w{10}|whsec_[\w+/]{24}",  # Stripe
    rb"AIza[\w-]{35}|ya29\.[\w-]{16}|GOCSPX-[\w-]{20}|1//0[\w-]{30}",  # Google
    rb"npm_[A-Za-z0-9]{30}|pypi-AgE[\w-]{20}|rubygems_[0-9a-f]{32}|dckr_pat_[\w-]{20}",
    rb"SG\.[\w-]{16,24}\.[\w-]{16}|key-[0-9a-f]{32}|xkeysib-[0-9a-f]{32}",  # mail
    rb"SK[0-9a-f]{32}|do[opr]_v1_[0-9a-f]{32}|dapi[0-9a-f]{32}",  # Twilio, DigitalOcean, Databricks
    rb"hf_[A-Za-z0-9]{24}|r8_\w{30}|gsk_\w{30}|xai-\w{30}|nvapi-[\w-]{30}|pplx-\w{30}",
    rb"sk-(?:(?:proj|ant|svcacct|admin|or)-[\w-]{16}|[A-Za-z0-9]{20})",  # OpenAI, Anthropic
    rb"eyJ[\w-]{8,}\.(?:eyJ)?[\w-]{6,}\.[\w-]{6}|eyJ[\w-]{17,}\.\.[\w-]{8}",  # JWT, JWE
    rb"hv[sbr]\.[\w-]{20}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{30}|sq0(?:atp|csp)-[\w-]{20}",
    rb"[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27}",  # Discord
    rb"lin_api_\w{30}|ntn_\w{30}|PMAK-[0-9a-f-]{30}|NRAK-\w{20}|glsa_\w{30}|sntry[su]_[\w=+/-]{30}",
    rb"ATATT3[\w=-]{30}|\w{14}\.atlasv1\.[\w-]{30}|tskey-[\w-]{16}|dp\.pt\.\w{30}|pscale_\w+_\w{30}",
    rb"AGE-SECRET-KEY-1[A-Z0-9]{40}",
]
SHAPES = expression(
    b"|".join(
        [
            rb"\b(?:" + b"|".join(_TOKENS) + rb")",
            rb"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/]{6}",
            rb"discord(?:app)?\.com/api/webhooks/\d{5,}/[\w-]{20}",
            rb"[0-9]{6,}:AA[\w-]{30}",  # Telegram
            rb"[?&;](?:sig|(?i:x-(?:amz|goog)-)?Signature)=[\w%+/=-]{16}",
            rb"\b(?i:bearer)(?:[ \t]+|%20|\+)[\w.~+/=-]{20}",
            rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|Private-Lines: [0-9]+",
        ]
    )
)
_SHOWN = re.compile(
    rb"""(?xi)
    hooks\.slack\.com/\w+/ | discord(?:app)?\.com/api/webhooks/\d+/ | \d+: | [?&;][\w-]+=
    | (?P<scheme>bearer(?:[ \t]+|%20|\+))
    """
)
_TOKEN = Run(expression(rb"(?:[\w%+=~-]|[./][\w%+=~-])*"))
_END_OF_PEM = Until(expression(rb"-----(?:END|BEGIN) "))
_END_OF_PUTTY = Until(expression(rb"Private-MAC"))
_LINE_BREAK = re.compile(rb"(?:\s|\\+[nr])*")
