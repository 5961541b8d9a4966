"""What an operator can set about archives: the `export` section of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from endoscope import PluginSettings


class ExportSettings(PluginSettings):
    """Settings of the archive."""

    contributor_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """How many seconds one plugin may take for its members of one archive. What it has
    not delivered by then is left out, and the manifest says so."""

    include_binary: bool = True
    """Whether the running executable is part of the archive. Heap dumps of native code
    cannot be read without it."""

    max_concurrent: Annotated[int, Field(ge=1)] = 1
    """How many archives may be made at the same time. Further requests are answered with
    409."""
