"""Names of C++ and Rust functions as their programmers wrote them.

The C++ library that almost every process has does the work (`__cxa_demangle` of the Itanium
C++ ABI). It is C code that reads what may be hostile: only the symbol worker calls it.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable

_LIBRARIES = ("libstdc++.so.6", "libc++abi.so.1")

# Parts and copies that an optimizing compiler makes of a function, and numbers.
_CLONE = re.compile(r"(?:\.(?:cold|constprop|isra|localalias|lto_priv|part)(?:\.\d{1,9})?)+\Z")

# Rust's older mangling is C++'s, with a hash at the end and escapes in between
# (rustc_symbol_mangling/src/legacy.rs). The newer one, `_R...`, stays as it is.
_RUST = re.compile(r"_ZN.*17h[0-9a-f]{16}E")
_RUST_HASH = re.compile(r"::h[0-9a-f]{16}")
_RUST_SHIELD = re.compile(r"(?:(?<=::)|\A)_(?=\$)")  # a name may not begin with an escape
_RUST_ESCAPE = re.compile(r"\$(?:u([0-9a-f]{1,6})|([A-Z]{1,2}))\$")
_RUST_SIGNS = {
    "SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","
}  # fmt: skip


def demangler() -> Callable[[str], str]:
    """Return a function that demangles one name; what it cannot read it returns as it is.

    A part or a copy that the compiler made of a function has the function's name.
    """
    library = _library()

    def demangled(name: str) -> str:
        name = _CLONE.sub("", name)
        if library is None or not name.startswith("_Z"):
            return name
        plain = _demangled(library, name)
        if plain and _RUST.match(name):
            return _rust(plain)
        return plain or name

    return demangled


def _demangled(library: ctypes.CDLL, name: str) -> str:
    """Return the name demangled, empty if it was not mangled."""
    demangle, free = library["__cxa_demangle"], ctypes.CDLL(None)["free"]
    demangle.restype = ctypes.c_void_p
    text = demangle(name.encode(), None, None, None)
    if not text:
        return ""
    plain = ctypes.string_at(text).decode("utf-8", "replace")
    free(ctypes.c_void_p(text))
    return plain


def _library() -> ctypes.CDLL | None:
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _rust(name: str) -> str:
    name = _RUST_SHIELD.sub("", _RUST_HASH.sub("", name))
    return _RUST_ESCAPE.sub(_rust_sign, name.replace("..", "::"))


def _rust_sign(escape: re.Match[str]) -> str:
    if escape[1] and int(escape[1], 16) < 0xD800:
        return chr(int(escape[1], 16))
    return _RUST_SIGNS.get(escape[2], escape[0])
