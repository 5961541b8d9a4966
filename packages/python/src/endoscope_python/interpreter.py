"""The interpreter: which it is, how it was started, and how it is set."""

from __future__ import annotations

import faulthandler
import gc
import locale
import os
import platform
import sys
from types import MemberDescriptorType
from typing import TYPE_CHECKING

from endoscope import told

if TYPE_CHECKING:
    from collections.abc import Callable


def tell() -> dict[str, object]:
    """Return the facts. Names and meanings are those of `sys`, `gc` and `platform`."""
    about: dict[str, Callable[[], object]] = {
        "version": lambda: sys.version,
        "implementation": implementation,
        "build": build,
        "places": places,
        "platform": system,
        "flags": flags,
        "options": options,
        "encodings": encodings,
        "settings": settings,
        "garbage_collector": garbage_collector,
    }
    return {name: told(tell) for name, tell in about.items()}


def implementation() -> dict[str, object]:
    """Return the implementation and the number of its version."""
    return {
        "name": sys.implementation.name,
        "cache_tag": sys.implementation.cache_tag,
        "version_info": list(sys.version_info),
        "hexversion": f"{sys.hexversion:#010x}",
        "api_version": sys.api_version,
    }


def build() -> dict[str, object]:
    """Return how the interpreter was built, as far as it shows while it runs."""
    number, date = platform.python_build()
    return {
        "number": number,
        "date": date,
        "compiler": platform.python_compiler(),
        "debug": hasattr(sys, "gettotalrefcount"),
        "free_threaded": "t" in sys.abiflags,
        "gil_enabled": gil_enabled(),
    }


def gil_enabled() -> bool:
    """Say whether threads take turns. A free-threaded build may have gone back to that."""
    ask: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    return ask is None or ask()


def places() -> dict[str, object]:
    """Return where the interpreter is. The prefixes differ in a virtual environment."""
    return {
        "executable": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "exec_prefix": sys.exec_prefix,
        "platlibdir": sys.platlibdir,
        "pycache_prefix": sys.pycache_prefix,
    }


def system() -> dict[str, object]:
    """Return the system that this interpreter is for."""
    return {
        "name": sys.platform,
        "machine": os.uname().machine,
        "pointer_bits": sys.maxsize.bit_length() + 1,
        "byte_order": sys.byteorder,
        "libc": told(lambda: os.confstr("CS_GNU_LIBC_VERSION")),
    }


def flags() -> dict[str, object]:
    """Return `sys.flags`, and whether somebody has chosen the seed of hashes."""
    seed = "" if sys.flags.ignore_environment else os.environ.get("PYTHONHASHSEED", "")
    members = vars(type(sys.flags)).items()  # those that came late are not in the sequence
    names = [name for name, member in members if isinstance(member, MemberDescriptorType)]
    return {
        **{name: getattr(sys.flags, name) for name in names},
        "hash_seed_chosen": seed not in {"", "random"},
    }


def options() -> dict[str, object]:
    """Return the options `-X` and `-W`, the latter with what the environment has of it."""
    return {"x": dict(sys._xoptions), "w": list(sys.warnoptions)}  # noqa: SLF001 - documented


def encodings() -> dict[str, object]:
    """Return how text becomes bytes."""
    return {
        "default": sys.getdefaultencoding(),
        "file_system": sys.getfilesystemencoding(),
        "file_system_errors": sys.getfilesystemencodeerrors(),
        "locale": locale.getencoding(),
        "locale_ctype": locale.setlocale(locale.LC_CTYPE),
    }


def settings() -> dict[str, object]:
    """Return what a program may change while it runs."""
    return {
        "recursion_limit": sys.getrecursionlimit(),
        "switch_interval_seconds": sys.getswitchinterval(),
        "int_max_str_digits": sys.get_int_max_str_digits(),
        "dont_write_bytecode": sys.dont_write_bytecode,
        "fault_handler_enabled": faulthandler.is_enabled(),
    }


def garbage_collector() -> dict[str, object]:
    """Return thresholds, counts since the last collection, and totals, by generation."""
    return {
        "enabled": gc.isenabled(),
        "thresholds": gc.get_threshold(),
        "counts": gc.get_count(),
        "statistics": gc.get_stats(),
        "debug_flags": gc.get_debug(),
        "callbacks": len(gc.callbacks),
    }
