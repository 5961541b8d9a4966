"""The bearer scheme, pure: header values in, verdict out.

`Authorization: Bearer <base64(secret)>`, with the standard alphabet and padding (RFC 4648,
section 4) and the scheme's name in any case (RFC 9110, section 11.1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

from endoscope import Granted, Refused

if TYPE_CHECKING:
    from endoscope import Verdict

PRINCIPAL = "bearer"
SCHEME = "bearer"


def fingerprint(secret: bytes) -> bytes:
    """Return the 32 bytes by which secrets of any length are compared.

    `compare_digest` takes constant time for two values of one length, and gives the length
    away when they differ. Hashed, both sides always have the same.
    """
    return hashlib.sha256(secret).digest()


def judge(authorization: tuple[str, ...], expected: bytes) -> Verdict | None:
    """Judge the values of all `Authorization` headers of one request.

    `expected` is the `fingerprint` of the secret. None means that there is no bearer
    credential to judge. The reason of a refusal holds nothing of what was sent.
    """
    if not authorization:
        return None
    if len(authorization) > 1:
        # Something between the client and us may have read another of them than we would.
        return Refused("more than one Authorization header")
    scheme, _, credential = authorization[0].strip(" \t").partition(" ")
    if scheme.lower() != SCHEME:
        return None
    presented = decode(credential.lstrip(" "))
    if presented is None:
        return Refused("the bearer credential is not base64 with padding")
    if not hmac.compare_digest(fingerprint(presented), expected):
        return Refused("wrong secret")
    return Granted(PRINCIPAL)


def decode(credential: str) -> bytes | None:
    """Return the bytes that `credential` is the one base64 spelling of, or None.

    Decoders pass over the unused bits of a last group, so that several spellings mean the
    same bytes. Only the one that an encoder writes is taken.
    """
    try:
        decoded = base64.b64decode(credential, validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if base64.b64encode(decoded).decode("ascii") == credential else None
