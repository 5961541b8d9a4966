"""Which names are names of secrets, judged by the words in them."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from itertools import pairwise

LONGEST_NAME = 128
"""Longer identifiers are not names."""


class Kind(Enum):
    """What a name says of its value."""

    PLAIN = "no secret"
    SECRET = "a secret"  # noqa: S105 - says what a name is
    PLURAL = "secrets, unless it is a number: then it counts them"
    LIKELY = "a secret if it looks like one"
    HEADER = "a header's secret, spaces and semicolons included"
    AUTHORIZATION = "a scheme and a secret"


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SECRET_WORDS = _set(
    """
    password passwd pwd passphrase passcode passkey passwort motdepasse contrasena pw psk
    secret token apikey credential cookie bearer sessionid sessid phpsessid jsessionid
    authtoken privatekey secretkey cred creds otp totp pgpass requirepass masterauth
    """
)

# Words that say, before `key` or `id`, that it is secret; the others may be primary keys.
_BEFORE_KEY = _set(
    """
    api access private secret account shared client signing sign encryption encrypt crypt
    master session license auth hmac fernet storage deploy consumer rsa dsa ecdsa ssh tls ssl
    host function subscription webhook service server cipher aes des nonce in admin decryption
    jwt app data
    """
)
_BEFORE_ID = _set("session sess")

# What ends with these words is told about a secret, and is none.
_HARMLESS_ENDS = _set(
    """
    count counts length len size sizes type types name names url urls uri uris file files
    filename path paths dir dirs directory folder ttl expiry expires expiration expire expired
    age lifetime timeout interval limit limits max min policy enabled disabled enable disable
    required optional algorithm algorithms alg format header headers field fields prefix
    suffix version class module provider providers manager endpoint endpoints rate window
    bucket buckets budget usage used total per cost price index idx pos position offset start
    end line lineno col column kind ref refs store hasher validator validators validation
    strength complexity attempts retries retry reset change changed rotation rotated rotate
    created updated modified domain samesite httponly secure scope scopes audience issuer hint
    label placeholder title description help message msg error errors exception status state
    support supported allowed mode method methods function func callback handler factory model
    models schema table view form input output backend service services parser regex pattern
    re generator iterator iter stream engine driver plugin plugins location source src at by
    on is host hosts port user username email question charset info markup attrs attributes
    level children encoding separator delimiter jar crypt
    """
)
_HARMLESS_BEGINNINGS = _set("max min num number no n total")

# Secrets even where another word runs into them, as in `mypassword`.
_COMPOUNDS = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "token",
    "apikey",
    "secretkey",
    "privatekey",
    "credential",
    "cookie",
    "pass",
)
_NO_COMPOUNDS = _set("bypass compass encompass trespass surpass overpass underpass")
_LIKELY = _set("key auth salt jwt accesskey")

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@lru_cache(maxsize=4096)
def kind_of(name: bytes) -> Kind:
    """Judge an identifier such as `spring.datasource.password` or `DB_PASS2`."""
    words = _words(name)
    if not words or _is_harmless(words):
        return Kind.PLAIN
    if words[-1] == "authorization":
        return Kind.AUTHORIZATION
    if words[-1] == "cookie":
        return Kind.HEADER
    if any(map(_is_secret, words)) or words[-1] == "pass" or _has_secret_pair(words):
        return Kind.PLURAL if _singular(words[-1]) != words[-1] else Kind.SECRET
    return Kind.LIKELY if words[-1] in _LIKELY else Kind.PLAIN


def _is_harmless(words: list[str]) -> bool:
    about = words[-1] in _HARMLESS_ENDS or words[0] in _HARMLESS_BEGINNINGS
    return about or ("public" in words and "key" in words)


def _words(name: bytes) -> list[str]:
    return [word.lower() for word in _WORD.findall(name.decode("ascii", "replace"))]


def _singular(word: str) -> str:
    return word if word.endswith("ss") else word.removesuffix("s")


def _is_secret(word: str) -> bool:
    if word in _NO_COMPOUNDS or word == "pass":
        return False
    singular = _singular(word)
    is_compound = word.startswith("password") or singular.endswith(_COMPOUNDS)
    return is_compound or singular in _SECRET_WORDS


def _has_secret_pair(words: list[str]) -> bool:
    return any(
        (second in {"key", "keys"} and first in _BEFORE_KEY)
        or (second == "id" and first in _BEFORE_ID)
        for first, second in pairwise(words)
    )
