"""Texts out of a dump, made fit to be shown: it may come from anybody."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return `text` with `\u` and digits for what has no shape of its own.

    Control characters would tell a terminal what to do or end a line, those that turn the
    direction of writing make a name look like another, and lone surrogates cannot be written.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
