"""How a name is tied to a value: where the value begins, and what is known of its end."""

from __future__ import annotations

import re
from dataclasses import dataclass

from endoscope_export.redaction.findings import LOOKBEHIND
from endoscope_export.redaction.key_names import LONGEST_NAME

_NEAR = 256
"""A value begins within so many bytes after its name."""

QUOTE = rb"(?:\\{0,7}[\"'`]|&(?:quot|apos|\#34|\#39|\#x22|\#x27);)"
"""What opens and closes a text, as it is or escaped."""


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier in the data, with what stands before it on its line."""

    start: int
    end: int
    text: bytes
    before: bytes

    @property
    def is_flag(self) -> bool:
        """Whether it is a command's long option."""
        return self.text.startswith(b"--")


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where a name's value begins, and what its surroundings say of it.

    `enclosing` is the quote that was opened before the name, if that is where the value ends
    too. `leads` tells that the name is the first thing on its line, `column` then is where.
    A `is_field` stands between semicolons. Only a value in quotes counts where `wants_quotes`;
    one that `is_argument` may as well be the next item of a list.
    """

    value: int
    enclosing: bytes = b""
    leads: bool = False
    column: int = 0
    is_quoted: bool = False
    is_colon: bool = False
    is_element: bool = False
    is_flag: bool = False
    is_field: bool = False
    is_argument: bool = False
    wants_quotes: bool = False


def name_at(data: bytes, position: int) -> Name | None:
    """Return the identifier around `position`, None if it is too long for a name."""
    left = data[max(0, position - LONGEST_NAME) : position]
    start = position - len(left) + len(left.rstrip(_NAME_BYTES))
    found = _NAME.match(data, position, position + LONGEST_NAME)
    end = found.end() if found else position
    if end - start >= LONGEST_NAME:
        return None
    floor = max(0, start - LOOKBEHIND + LONGEST_NAME)
    line = 1 + max(data.rfind(b"\n", floor, start), data.rfind(b"\0", floor, start))
    if not line and floor:  # a line that begins out of sight
        return Name(start, end, data[start:end], b"\x7f" + data[floor:start])
    return Name(start, end, data[start:end], data[line:start])


def assignment(data: bytes, name: Name) -> Assignment | None:
    """Return where the value of `name` begins, None if nothing says that it has one."""
    if name.before.endswith(b" ") and _DESCRIBES.search(name.before):
        return None
    near = name.end + _NEAR
    for way in (_sign, _element, _pair, _option, _quoted):
        found = way(data, name, near)
        if found:
            return found
    return None


def _element(data: bytes, name: Name, near: int) -> Assignment | None:
    """XML: an element of that name, one with an attribute of that value, a property list."""
    if _OPENS_TAG.search(name.before):
        found = _REST_OF_TAG.match(data, name.end, near)
    elif _NAMES_TAG.search(name.before):
        found = _REST_OF_NAMED_TAG.match(data, name.end, near)
    else:
        found = _NEXT_ELEMENT.match(data, name.end, near)
    return Assignment(found.end(), is_element=True) if found else None


def _pair(data: bytes, name: Name, near: int) -> Assignment | None:
    """`name: DB_PASSWORD` and beside or below it `value: ...`, in YAML, JSON and attributes."""
    found = _VALUE_OF_PAIR.match(data, name.end, near)
    if not found or not _IS_NAMED.search(name.before):
        return None
    value = name_at(data, found.start(1))
    return _sign(data, value, near + _NEAR) if value else None


def _sign(data: bytes, name: Name, near: int) -> Assignment | None:
    """`name: value`, `name = value` and all their kin."""
    found = _SIGN.match(data, name.end, near)
    if not found or (found["colon"] and name.before.endswith(b"://")):
        return None  # in `https://token:...@host` it is the user
    value = found.end()
    if found["quote"]:
        next_line = _NEXT_LINE.match(data, value, value + 64)
        value = next_line.end() if next_line else value
    prefix = _LEADS.fullmatch(name.before)
    if found["colon"] and not found["quote"] and _is_verdict(name.text, leads=bool(prefix)):
        return None
    return Assignment(
        value,
        enclosing=b"" if found["quote"] else _enclosing(name),
        leads=prefix is not None and not name.is_flag,
        column=len(prefix["indent"]) if prefix and not prefix["more"] else -1,
        is_quoted=bool(found["quote"]),
        is_colon=bool(found["colon"]),
        is_flag=name.is_flag,
        is_field=not found["colon"] and name.before.rstrip(b" ").endswith(b";"),
        wants_quotes=found["sign"] in {b"==", b"==="} or bool(found["type"]),
    )


def _is_verdict(name: bytes, *, leads: bool) -> bool:
    """Tell whether a name is how tests report, or a word in the middle of prose."""
    return name == b"PASS" or (name.lower() == b"pass" and not leads)


def _option(data: bytes, name: Name, near: int) -> Assignment | None:
    """`--password value`, in a shell, in a list of arguments, and in what Linux shows of one."""
    if name.is_flag:
        found = _AFTER_FLAG.match(data, name.end, near)
        return Assignment(found.end(), is_flag=True) if found else None
    found = _AFTER_WORD.match(data, name.end, near)
    if not found:
        return None
    if _SETS.search(name.before) or name.text in {b"requirepass", b"masterauth"}:
        return Assignment(found.end(), leads=True, column=-1)
    before = data[max(0, name.start - LOOKBEHIND + LONGEST_NAME) : name.start]
    if name.text in {b"password", b"passwd"} and _NETRC.search(before):
        return Assignment(found.end(), is_flag=True)
    return None


def _quoted(data: bytes, name: Name, near: int) -> Assignment | None:
    """`("name", "value")` and `PASSWORD 'value'`: nothing but the quotes ties them."""
    if _OPENS_CALL.search(name.before):
        found = _COMMA.match(data, name.end, near)
        if found:
            return Assignment(found.end(), wants_quotes=True, is_argument=True)
    if b"passw" in name.text.lower():
        found = _BEFORE_QUOTE.match(data, name.end, near)
        return Assignment(found.end(), wants_quotes=True) if found else None
    return None


def _enclosing(name: Name) -> bytes:
    found = _LAST_QUOTE.search(name.before[-8:])
    return found.group() if found else b""


_NAME_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
_NAME = re.compile(rb"(?:[\w.-]|[ ](?i:key\b|token\b|id\b))*+")

_DESCRIBES = re.compile(rb":(?:param|type|keyword|arg)(?:[ ][\w.]+)?[ ]$")

_SIGN = re.compile(
    rb"""
    (?P<quote>%b)? (?P<index>\])? [ \t]*+
    (?P<sign> ===?(?=[ \t]) | => | [:?+]?=(?!~[ \t]) | (?P<colon>:)(?!:) | %%3[dD] ) [ \t]*+
    (?(colon) (?:[!&][\w!/:.-]*+[ \t]++){0,2}
        (?P<type> (?:str|string|String|bytes|SecretStr|SecretBytes|Optional|Union|Any|any
            |Final|ClassVar|Annotated|&str|&'static[ ]str|unicode|typing)\b
            [\w.\[\]<>|,&? ]{0,60}? [ ]?=[ ]?)? )
    """
    % QUOTE,
    re.VERBOSE,
)
_NEXT_LINE = re.compile(rb"\s*\n\s*(?=[\"'\[{])")
_LEADS = re.compile(
    rb"""
    (?P<indent> [ \t]*+ (?:-[ ]++)*+ )
    (?P<more> (?: [ \t] | [-+\#;*>|<!?$@%%:{] | // | -x[ ] | (?:
        export|set|setenv|env|ENV|ARG|declare|local|readonly|const|let|var|final|static|private
        |public|protected|internal|def|string|String|SET|\#define)[ \t] )*+ )
    %b?
    """
    % QUOTE,
    re.VERBOSE,
)
_LAST_QUOTE = re.compile(QUOTE + rb"$")

_OPENS_TAG = re.compile(rb"(?<!\w)<(?:[\w.-]{1,40}:)?$")
_REST_OF_TAG = re.compile(rb"(?:\s[^<>]{0,200}(?<!/))?>\s*(?:<!\[CDATA\[)?")
_NAMES_TAG = re.compile(rb"\b(?:name|key|id)\s?=\s?\\{0,3}[\"']$")
_REST_OF_NAMED_TAG = re.compile(
    rb"\\{0,3}[\"'](?:\s[^<>=/]{0,80}(?:=[^<>=/]{0,80})*)?>\s*(?:<!\[CDATA\[)?"
)
_NEXT_ELEMENT = re.compile(
    rb"\s*</(?:key|name|param-name)>\s*<(?:string|value|param-value|data)>\s*(?:<!\[CDATA\[)?"
)
_VALUE_OF_PAIR = re.compile(
    rb"%b?,?(?:[ \t]*(?:\#[^\n]{0,80})?\r?\n)?\s*%b?((?i:value|content)\b)(?=%b?\s*[:=])"
    % (QUOTE, QUOTE, QUOTE)
)
_IS_NAMED = re.compile(rb"(?i:name|key|header|id|variable)\\{0,3}[\"']?\s?[:=]\s?\\{0,3}[\"']?$")

_AFTER_FLAG = re.compile(rb"(?:[ \t]+(?:\\\r?\n\s*)?|\0|\\{0,3}[\"'][ ]?,\s*(?=\\{0,3}[\"']))(?!-)")
_AFTER_WORD = re.compile(rb"[ \t]+(?=[^\s:=])")
_SETS = re.compile(rb"\b(?:SetEnv|setenv|ENV|proxy_set_header|fastcgi_param|uwsgi_param)\s+$")
_NETRC = re.compile(rb"\b(?:login|account|machine)[ \t]+\S{1,100}\s+$")
_OPENS_CALL = re.compile(rb"[(\[]\s*[bBrRuU]?\\{0,3}[\"']$")
_COMMA = re.compile(rb"\\{0,3}[\"']\s*,\s*(?=[bBrRuU]?\\{0,3}[\"'])")
_BEFORE_QUOTE = re.compile(rb"[ \t]+(?=[\"'])")
