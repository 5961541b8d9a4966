"""What an operator can set about archives: the `export` section of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from endoscope import PluginSettings

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(gt=0)]


class ExportSettings(PluginSettings):
    """Settings of the archive."""

    contributor_seconds: Seconds = 30.0
    """How many seconds one plugin may take for its members of one archive. What it has
    not delivered by then is left out, and the manifest says so."""

    export_seconds: Seconds = 600.0
    """How many seconds one archive may take in all, the client's time included. What has not
    had its turn by then is left out; the file that is being sent is sent to its end."""

    max_file_bytes: Bytes | None = None
    """How large one file may be. Of larger text only the end is taken, from the beginning of a
    line; any other larger file is left out."""

    max_archive_bytes: Bytes | None = None
    """How much the files of one archive may hold in all, before compression. Files that would
    exceed it are cut or left out as with `max_file_bytes`."""

    include_binary: bool = True
    """Whether the running executable is part of the archive. Heap dumps of native code
    cannot be read without it."""

    include_libraries: bool = False
    """Whether the libraries that the process has mapped, extension modules included, are part
    of the archive. Native functions in them can then be named anywhere."""

    max_concurrent: Annotated[int, Field(ge=1)] = 1
    """How many archives may be made at the same time. Further requests are answered with
    409."""

    keep_compressed_bytes: Annotated[int, Field(ge=0)] = 256 * 1024 * 1024
    """How many bytes of already compressed dumps and binaries to keep in the output directory,
    so that the next archive is made faster. 0: none."""

    redact: dict[str, str] = Field(default={})
    """Rules of your own for what is masked in text: a name, and a regular expression in the
    syntax of RE2. If it has a group, that is masked, else the whole match."""

    @field_validator("redact")
    @classmethod
    def _can_be_compiled(cls, patterns: dict[str, str]) -> dict[str, str]:
        if patterns:
            from endoscope_export.redaction import RuleError, Rules

            try:
                Rules.of((), patterns)
            except RuleError as error:
                raise ValueError(str(error)) from error
        return patterns
