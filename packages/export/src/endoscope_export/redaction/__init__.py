"""Secrets masked in text of any kind and size: bytes to bytes, chunk by chunk."""

from endoscope_export.redaction.redactor import Redactor
from endoscope_export.redaction.rules import RuleError, Rules

__all__ = ["Redactor", "RuleError", "Rules"]
