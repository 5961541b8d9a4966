"""The ways in which a known secret may be written."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from string import punctuation

from endoscope_export.redaction.expressions import Expression, expression

SHORTEST = 8
"""Shorter secrets, in bytes, are not searched for by value: they may stand anywhere by chance."""

# JSON inside of JSON inside of JSON: each level doubles the backslashes and adds one.
_ESCAPES = rb"\\{0,7}"
_ESCAPED = rb"\\{1,7}"
_LONGEST_CHARACTER = 32  # a pair of surrogates, with seven backslashes each

_SHORT_ESCAPES = {"\n": b"n", "\r": b"r", "\t": b"t", "\b": b"b", "\f": b"f"}
_ENTITIES = {'"': b"quot", "'": b"apos", "&": b"amp", "<": b"lt", ">": b"gt"}


def longest(secrets: Iterable[str]) -> int:
    """Return how long a spelling may be, in bytes."""
    return max(map(_longest, secrets), default=0)


def _longest(secret: str) -> int:
    texts = (secret, base64.b64encode(_raw(secret)).decode("ascii"))
    return max(sum(1 if _is_plain(c) else _LONGEST_CHARACTER for c in text) for text in texts)


def spellings(secrets: Iterable[str]) -> Expression:
    """Compile what finds any spelling of any of `secrets`.

    That is: as it is; percent-encoded; escaped for JSON, a shell or XML; in base64, alone or
    in the middle of something longer, such as `user:secret`.
    """
    found = [spelling for secret in secrets for spelling in _spellings(secret)]
    return expression(b"|".join(found), longest=True)


def _spellings(secret: str) -> Iterator[bytes]:
    yield _written(secret)
    raw = _raw(secret)
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        text = alphabet(raw).rstrip(b"=").decode("ascii")
        yield _written(text) + rb"(?:=|%3[dD]){0,2}"
        for before in range(3):
            # Only those characters that are made of the secret's own bytes.
            inner = raw[-before % 3 :]
            yield _written(alphabet(inner[: len(inner) // 3 * 3]).decode("ascii"))


def _raw(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogateescape")


def _written(text: str) -> bytes:
    return b"".join(map(_character, text))


def _character(character: str) -> bytes:
    raw = _raw(character)
    if _is_plain(character):
        return raw
    ways = [_ESCAPES * (character in punctuation) + _literal(raw)]
    ways.append(b"".join(rb"(?i:%%%02x)" % byte for byte in raw))
    ways += _unicode_escapes(character)
    if character in _SHORT_ESCAPES:
        ways.append(_ESCAPED + _SHORT_ESCAPES[character])
    if character in _ENTITIES:
        ways.append(b"&(?:amp;)?%b;" % _ENTITIES[character])
    if character == " ":
        ways.append(rb"\+")
    if character == "\n":
        ways += [rb"\r\n", _ESCAPED + b"r" + _ESCAPED + b"n"]
    return b"(?:" + b"|".join(ways) + b")"


def _is_plain(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _literal(raw: bytes) -> bytes:
    return b"".join(rb"\x%02x" % byte for byte in raw)


def _unicode_escapes(character: str) -> list[bytes]:
    units = character.encode("utf-16-be", "surrogatepass")
    pairs = [units[at : at + 2].hex().encode() for at in range(0, len(units), 2)]
    number = ord(character)
    ways = [
        b"".join(_ESCAPED + b"u(?i:%b)" % pair for pair in pairs),
        b"&#(?:0{0,4}%d|[xX]0{0,4}(?i:%x));" % (number, number),
    ]
    return [*ways, b"".join(_ESCAPED + b"x(?i:%02x)" % byte for byte in _raw(character))]
