"""What a value is: where exactly it begins, what swallows it, and whether it is a secret."""

from __future__ import annotations

import re

from endoscope_export.redaction.assignments import QUOTE, Assignment, Name
from endoscope_export.redaction.expressions import expression
from endoscope_export.redaction.findings import MASK
from endoscope_export.redaction.key_names import Kind, kind_of
from endoscope_export.redaction.swallowing import (
    Brackets,
    Quoted,
    Run,
    Swallow,
    Until,
    block,
    entity_quoted,
)

_VIEW = 256
"""Whether a value is a secret is decided by so many of its bytes."""

Value = tuple[int, Swallow]
"""Where what is to be masked begins, and what swallows it."""


def secret_value(data: bytes, name: Name, kind: Kind, tie: Assignment) -> Value | None:
    """Return the secret that `tie` leads to, None if there is none."""
    start = tie.value
    if kind is Kind.AUTHORIZATION:
        start = _after_scheme(data, start)
    if data.startswith(MASK, start):
        return None
    if tie.is_element:
        return _element(data, start, kind)
    if tie.enclosing and data.startswith(tie.enclosing, start):
        is_more = data.startswith(_SHELL_APOSTROPHE, start)
        return _unquoted(data, start, name, kind, tie) if is_more else None
    quoted = _OPENING.match(data, start, start + 16)
    if quoted:
        return _quoted(data, quoted, kind, tie)
    if tie.wants_quotes:
        return None
    nested = _below(data, start, kind, tie) or _in_brackets(data, start, kind, tie)
    return nested or _unquoted(data, start, name, kind, tie)


def _element(data: bytes, start: int, kind: Kind) -> Value | None:
    if data.endswith(b"[CDATA[", 0, start):
        return start, Until(_END_OF_CDATA)
    text, bracket, _ = data[start : start + _VIEW].partition(b"<")
    if bracket:
        is_closed = data.startswith((b"</", b"<!"), start + len(text))
        return (start, _ELEMENT) if is_closed and _tells(text.strip(), kind) else None
    return (start, _ELEMENT) if len(text) == _VIEW and not _SPACE.search(text, 0, 64) else None


def _quoted(data: bytes, opening: re.Match[bytes], kind: Kind, tie: Assignment) -> Value | None:
    start, quote = opening.end(), opening["quote"]
    if kind is Kind.AUTHORIZATION:
        start = _after_scheme(data, start)
    if data.startswith(MASK, start):
        return None
    swallow = _closing(quote)
    end, more = swallow.take(data, start, min(len(data), start + _VIEW))
    if more or end == start + _VIEW:
        return start, swallow
    if len(quote) == 1 and _is_glued(data, end + 1, tie):
        return opening.start(), (_rest(kind, tie) if tie.leads or tie.enclosing else _GLUED)
    is_item = tie.is_argument and _GOES_ON.match(data, end + len(quote), end + 16)
    return None if is_item or not _tells(data[start:end], kind) else (start, swallow)


def _is_glued(data: bytes, position: int, tie: Assignment) -> bool:
    """Tell whether the value goes on behind its quotes, which then are a part of it."""
    if tie.leads and _IS_GLUED_IN_LINE.match(data, position, position + 1):
        return True
    return bool(_IS_GLUED.match(data, position, position + 8))


def _closing(quote: bytes) -> Swallow:
    if len(quote) == 3 and quote[:1] != b"\\":
        return Until(expression(re.escape(quote)))
    if quote.startswith(b"&"):
        return entity_quoted(quote)
    escapes = len(quote) - 1
    return Quoted(quote[-1:], escapes, spans=not escapes)


def _below(data: bytes, start: int, kind: Kind, tie: Assignment) -> Value | None:
    """Return what stands below the name, indented, as in YAML."""
    below = _BELOW.match(data, start, start + _VIEW)
    if not below or not tie.is_colon or not tie.leads or tie.column < 0:
        return None
    if data.startswith(MASK, below.end()) or (kind in _SECTIONS and not below["scalar"]):
        return None
    indent = len(below["indent"])
    is_item = indent == tie.column and not below["scalar"] and data.startswith(b"- ", below.end())
    is_deeper = indent > tie.column
    return (below.end(), block(tie.column, items=is_item)) if is_item or is_deeper else None


def _in_brackets(data: bytes, start: int, kind: Kind, tie: Assignment) -> Value | None:
    """Return a list or an object.

    Where a line is all that a value is (INI, environments), one may begin with a bracket and
    mean nothing by it, unless that line is left open.
    """
    spans = tie.is_quoted or (tie.leads and bool(_LEFT_OPEN.match(data, start, start + _VIEW)))
    is_plain = tie.enclosing or tie.is_field or tie.is_flag or (tie.leads and not spans)
    if is_plain or kind in _SECTIONS:
        return None
    if _BRACKET.match(data, start, start + 64) and not _EMPTY.match(data, start, start + _VIEW):
        return start, Brackets(spans=spans)
    return None


def _unquoted(data: bytes, start: int, name: Name, kind: Kind, tie: Assignment) -> Value | None:
    swallow = _rest(kind, tie)
    end, more = swallow.take(data, start, min(len(data), start + _VIEW))
    text = data[start:end].rstrip()
    if not more and (not _tells(text, kind) or _is_code(data, start, text, name, tie)):
        return None
    return start, swallow


def _rest(kind: Kind, tie: Assignment) -> Swallow:
    """Return what swallows a value without quotes."""
    if tie.enclosing:
        return _closing(tie.enclosing)
    if tie.is_flag:
        return ARGUMENT
    if tie.is_field:
        return _FIELD
    if tie.leads:
        return _MEMBER if tie.is_quoted else _LINE
    return _HEADER if kind in {Kind.HEADER, Kind.AUTHORIZATION} else _WORD


def _after_scheme(data: bytes, start: int) -> int:
    found = _SCHEME.match(data, start, start + 64)
    return found.end() if found else start


def _tells(text: bytes, kind: Kind) -> bool:
    """Tell whether a value gives a secret away."""
    if _NO_SECRET.fullmatch(text) or _FILE.fullmatch(text):
        return False
    if kind is Kind.PLURAL:
        return not _NUMBER.fullmatch(text)
    return kind is not Kind.LIKELY or bool(_RANDOM.match(_COMMENT.sub(b"", text)))


def _is_code(data: bytes, start: int, text: bytes, name: Name, tie: Assignment) -> bool:
    """Tell whether a value is an expression that computes the secret, or a type's name."""
    if tie.enclosing:
        return False
    bare = text.rstrip(b",;) ")
    if not tie.is_colon and bare == re.split(rb"[.-]", name.text)[-1]:
        return True  # password=password
    if _CONSTANT_OR_CLASS.fullmatch(bare) and kind_of(bare) is not Kind.PLAIN:
        return True  # --password PASSWORD, token: Token
    if not tie.leads and _CALL.match(data, start, start + _VIEW):
        return True
    return bool(_CODE.fullmatch(text) or (not tie.leads and _STATEMENT.match(text)))


# Below such a name may stand what belongs to the subject, each with a name of its own.
_SECTIONS = frozenset([Kind.LIKELY, Kind.HEADER])

_OPENING = re.compile(rb"""(?:[bBrRuUfF]{1,2}|@|\$)?(?P<quote>"{3}|'{3}|%b)""" % QUOTE)
_BRACKET = re.compile(rb"""[\[{]|\(\s*[bBrRuUfF]?["']""")
_BELOW = re.compile(
    rb"(?P<scalar>[|>][-+0-9]{0,3})?[ \t]*+(?:\#[^\n]*+)?\r?\n"
    rb"(?:[ \t]*\r?\n)*(?P<indent>[ ]*+)(?=\S)"
)
_LEFT_OPEN = re.compile(rb"[\[{(][^\n]*[\[{(,|][ \t\r]*(?:#[^\n]*)?\n|[\[{(]\s*\n")
_IS_GLUED = re.compile(rb"(?!/>)[^\s\x00,;:)\]}<>&|\\\"'`]")
_IS_GLUED_IN_LINE = re.compile(rb"[&|<\"'`]")
_SHELL_APOSTROPHE = b"""'"'"'"""
_GOES_ON = re.compile(rb"\s*,")
_SCHEME = re.compile(
    rb"""(?i:Bearer|Basic|Token|Digest|Negotiate|NTLM|ApiKey|Api-Key|Key|Bot|OAuth|SharedKey
    |SharedAccessSignature|AWS4-HMAC-SHA256|GenieKey|Splunk|JWT)(?:[ \t]+|%20|\+)""",
    re.VERBOSE,
)

_EMPTY = re.compile(
    rb"\{\{[^\n]*?\}\}|\{[\w.!:]*\}|\[\s*\]|\{\s*\}|\[(?i:redacted|hidden|masked|filtered)\]"
)
_NO_SECRET = re.compile(
    rb"""(?is)
    (?: \s* | [*x.]{3,} | \*+ | [-?] | true | false | null | none | nil | undefined | empty
    | yes | no | on | off | unset | redacted | masked | hidden | \((?:null|none|redacted|hidden)\)
    | \$\{[^{}]*\} | \$\([\w./-]+(?:[ ][^()]*)?\)?
    | \$(?-i:[A-Z_][A-Z0-9_]*|[a-z_]+|\d) | %%\(\w+\)[sr] | %%[sdr] | %%\w+%%
    | [|>][-+0-9]{0,3} (?:\s+\#.*)? | <[^<>]*> | \#\{[^{}]*\} | @\w+@ | %b
    ) [,;]?"""
    % _EMPTY.pattern,
    re.VERBOSE,
)
_FILE = re.compile(
    rb"(?:/|\.{1,2}/|~/|[A-Za-z]:\\)[\w./\\@-]+"
    rb"\.(?:pem|key|crt|json|p12|pfx|jks|txt|ya?ml|gpg|pub)[,;]?"
)
_NUMBER = re.compile(rb"[-+]?\d[\d_.,]*")
_RANDOM = re.compile(rb"(?=[^\n]{0,60}\d)(?=[^\n]{0,60}[A-Za-z])[^\s/][^\n]{15}")
_COMMENT = re.compile(rb"\s+#.*")
_PATH = rb"[A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_]\w*)*"
_CODE = re.compile(
    rb"""(?s)
    (?: (?:await[ ]|not[ ]|new[ ])?
        (?=[\w$.:>-]{3}) %(path)b (?: \[%(code)b\] | \(%(code)b\) | \( | \[ ) (?:[.\[(]%(code)b)?
    | (?:self|cls|this|os|sys|settings|config|cfg|args|request|options|opts|params|environ|env
        |process|kwargs) (?:\.|->) %(path)b
    | (?:str|bytes|string|int|bool|Any|any|Optional|SecretStr|object|None|Final)
        (?: [ ]?[|\[=][^"'\n]* )?
    | (?:list|dict|set|frozenset|tuple|type|List|Dict|Set|Tuple|Type|Deque|Sequence|Iterable
        |Iterator|Mapping|Callable|Union|Optional)\[ .*
    | \$\([\w./-]+[ )].*
    ) [,;:)]*"""
    % {b"path": _PATH, b"code": rb"[\w\s.,'\"=+*/:%|\[\](){}<>-]*"},
    re.VERBOSE,
)
_STATEMENT = re.compile(rb"(?:return|raise|yield|lambda|await|if|for)$")
_CONSTANT_OR_CLASS = re.compile(rb"[A-Z][A-Z_]*|(?:[A-Z][a-z]+)+")
_CALL = re.compile(rb"[a-z_]{4,}(?:\.[a-z_]+)*\([^\n()]*\)|\$\([\w./-]+[ )]")
_SPACE = re.compile(rb"\s")

_END_OF_CDATA = expression(rb"\]\]>")
_ELEMENT = Run(expression(rb"[^<\x00]*"))
_LINE = Run(expression(rb"(?:[^\r\n\x00\\]|\\\r?\n|\\[^\r\n\x00])*"))
_MEMBER = Run(expression(rb"[^\r\n\x00,}\]]*"))
_HEADER = Run(expression(rb"""(?:[^\r\n\x00"'\\]|\\[^\r\n\x00"'])*"""))
_FIELD = Run(expression(rb"""(?:[^\r\n\x00;"'\\]|\\[^\r\n\x00"'])*"""))
_GLUED = Run(expression(rb"[^\s\x00]*"))
ARGUMENT = Run(expression(rb"""(?:[^\s\x00"'`\\]|\\[^\r\n\x00"'`])*"""))
_WORD = Run(expression(rb"""(?:[^\s\x00,;&)\]}"'`\\]|\\[^\s\x00"'`])*"""))
