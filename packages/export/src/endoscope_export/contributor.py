"""Whose time it is that a member takes."""

from __future__ import annotations

from typing import NamedTuple


class Contributor(NamedTuple):
    """A plugin in this process, or in another one, by its id."""

    plugin: str
    process: int | None = None

    def __str__(self) -> str:
        return self.plugin if self.process is None else f"{self.plugin} of process {self.process}"
