"""The C extension; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

SOURCES = "native"

setup(
    ext_modules=[
        Extension(
            "endoscope_memory._native",
            sources=sorted(str(file) for file in Path(SOURCES).glob("*.c")),
            depends=sorted(str(file) for file in Path(SOURCES).glob("*.h")),
            define_macros=[("_GNU_SOURCE", "1")],
            extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra"],
            libraries=["m"],
            optional=True,  # without a compiler everything else still installs
        )
    ]
)
