"""The base class of every plugin."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from endoscope.contributions import PluginContext


class PluginSettings(BaseModel):
    """Base of a plugin's settings: its section of the configuration, unknown keys refused.

    A field called `shared_secret` is filled from the top-level key of that name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


S = TypeVar("S", bound=PluginSettings)


class Plugin(Generic[S]):
    """Base of a plugin: one instance per running `Diagnostics`, named by its entry point.

    Set `Settings` to your own subclass of `PluginSettings`, and implement any hook of
    `endoscope.hookspecs` as a method marked with `endoscope.hookimpl`. An instance is
    also made by `endoscope run` and `endoscope doctor`, outside of the host: the
    constructor must not do the work of `endoscope_start`.
    """

    Settings: ClassVar[type[PluginSettings]] = PluginSettings

    def __init__(self, context: PluginContext[S]) -> None:
        self.context = context
