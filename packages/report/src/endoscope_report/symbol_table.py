"""The names of all functions in an ELF file, made fit for who reads them."""

from __future__ import annotations

import struct
from mmap import mmap

from endoscope_report.elf import SymbolTable

_COLD = b".cold"


def hide_empty_parts(content: mmap | bytearray, table: SymbolTable) -> int:
    """Blank the symbols of cold parts in which nothing is left; return how many there were.

    GCC puts what is seldom run elsewhere, `f.cold`, and leaves the symbol also where there is
    nothing to put: then the next function's cold part begins at the same address, and a
    reader that takes the first symbol there calls all of that function `f`. In CPython's own
    binaries `_PyEval_EvalFrameDefault` became `ast2obj_expr` that way (symbolic 13.9).
    `content` is the whole file, and changed in place. Raises `struct.error` for a damaged one.
    """
    entry = struct.Struct(table.entry)
    hidden = 0
    for start in range(table.offset, table.offset + table.size - entry.size + 1, entry.size):
        symbol = entry.unpack_from(content, start)
        if symbol[table.size_at] == 0 and _is_cold(content, table, symbol[0]):
            content[start : start + entry.size] = bytes(entry.size)
            hidden += 1
    return hidden


def _is_cold(content: mmap | bytearray, table: SymbolTable, name: int) -> bool:
    if name >= table.names_size:
        return False
    end = content.find(b"\0", table.names_offset + name)
    return content[max(0, end - len(_COLD)) : max(0, end)] == _COLD
