"""How the interpreter was configured and compiled, and the libraries it has with it."""

from __future__ import annotations

import sys
import sysconfig

from endoscope import told
from endoscope_python.objects import module_attributes, text

_VARIABLES = (
    "CONFIG_ARGS",
    "HOST_GNU_TYPE",
    "MULTIARCH",
    "SOABI",
    "EXT_SUFFIX",
    "CC",
    "CFLAGS",
    "PY_CFLAGS",
    "OPT",
    "LDFLAGS",
    "PY_LDFLAGS",
    "LDLIBRARY",
    "INSTSONAME",
    "Py_DEBUG",
    "Py_ENABLE_SHARED",
    "Py_GIL_DISABLED",
    "Py_REF_DEBUG",
    "Py_TRACE_REFS",
    "Py_UNICODE_SIZE",
    "WITH_DTRACE",
    "WITH_MIMALLOC",
    "WITH_PYMALLOC",
    "WITH_VALGRIND",
)

# Where a module of the standard library says which version of a library it works with.
_LIBRARIES = {
    "openssl": ("_ssl", "OPENSSL_VERSION"),
    "sqlite": ("_sqlite3", "sqlite_version"),
    "zlib": ("zlib", "ZLIB_RUNTIME_VERSION"),
    "expat": ("pyexpat", "EXPAT_VERSION"),
}


def tell() -> dict[str, object]:
    """Return the variables of `sysconfig` that matter, and the versions of libraries."""
    return {"variables": told(variables), "libraries": told(libraries)}


def variables() -> dict[str, object]:
    """Return variables of the build; None for those that this build has not."""
    return {name: sysconfig.get_config_var(name) for name in _VARIABLES}


def libraries() -> dict[str, str | None]:
    """Return versions of libraries; None where the module that knows it is not loaded."""
    return {
        library: text((module_attributes(sys.modules.get(module)) or {}).get(attribute))
        for library, (module, attribute) in _LIBRARIES.items()
    }
