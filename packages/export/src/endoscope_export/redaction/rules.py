"""What is masked: the rules that are built in, and those of the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import re2

from endoscope_export.redaction.expressions import Expression, expression
from endoscope_export.redaction.findings import LOOKAHEAD
from endoscope_export.redaction.keys import KEY_SIGNS, key_finding
from endoscope_export.redaction.redactor import Redactor
from endoscope_export.redaction.searches import PatternSearch, Search, SecretSearch, SignSearch
from endoscope_export.redaction.shapes import SHAPES, shape_finding
from endoscope_export.redaction.spellings import SHORTEST, longest, spellings
from endoscope_export.redaction.urls import URLS, url_finding


class RuleError(ValueError):
    """A pattern that cannot be a rule: `name` is its own, `message` says why."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules, compiled; for any number of redactors, in any thread."""

    secrets: Expression | None
    patterns: Mapping[str, Expression]
    lookahead: int

    @classmethod
    def of(cls, secrets: Iterable[str], patterns: Mapping[str, str]) -> Rules:
        """Compile the rules: known `secrets`, and `patterns` by name, in the syntax of RE2.

        Secrets of less than `SHORTEST` bytes are left out. Of a match, the group `secret` or
        the first is masked, or all if there is no group; `^` and `$` are a line's. Raises
        `RuleError` for a pattern that cannot be compiled or that matches the empty text.
        """
        known = [secret for secret in secrets if _is_searched(secret)]
        return cls(
            spellings(known) if known else None,
            {name: _compiled(name, pattern) for name, pattern in patterns.items()},
            max(LOOKAHEAD, longest(known)),
        )

    def redactor(self) -> Redactor:
        """Return a redactor for one text."""
        searches: list[Search] = [SecretSearch(self.secrets)] if self.secrets else []
        searches += [PatternSearch(name, each) for name, each in self.patterns.items()]
        searches += [
            SignSearch(URLS, url_finding),
            SignSearch(KEY_SIGNS, key_finding),
            SignSearch(SHAPES, shape_finding),
        ]
        return Redactor(searches, self.lookahead)

    def redacted(self, text: str) -> str:
        """Return a short text redacted."""
        redactor = self.redactor()
        data = text.encode("utf-8", "surrogatepass")
        return (redactor.feed(data) + redactor.finish()).decode("utf-8", "surrogatepass")


def _is_searched(secret: str) -> bool:
    is_long = len(secret.encode("utf-8", "surrogateescape")) >= SHORTEST
    return is_long and bool(secret.strip("*"))


def _compiled(name: str, pattern: str) -> Expression:
    try:
        compiled = expression(b"(?m:%b)" % pattern.encode(), utf8=True)
    except (re2.error, UnicodeEncodeError) as error:
        raise RuleError(name, f"it is no regular expression of RE2: {_text(error)}") from error
    if any(compiled.match(sample) and _is_empty(compiled, sample) for sample in _SAMPLES):
        raise RuleError(name, "it matches the empty text")
    return compiled


def _is_empty(compiled: Expression, sample: bytes) -> bool:
    return any(found.start() == found.end() for found in compiled.finditer(sample))


def _text(error: Exception) -> str:
    detail = error.args[0] if error.args else error
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)


_SAMPLES = (b"", b"a b\n1.")
