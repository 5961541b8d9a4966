"""Which groups of members a request asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from endoscope import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Selection:
    """The groups that go into an archive: those in `only` (None: all), less `without`."""

    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()

    def takes(self, group: str) -> bool:
        """Say whether members of `group` are asked for."""
        return group not in self.without and (self.only is None or group in self.only)

    def check(self, known: frozenset[str]) -> None:
        """Raise `BadRequestError`, naming the `known` groups, if any other is asked for."""
        unknown = ((self.only or frozenset()) | self.without) - known
        if unknown:
            raise BadRequestError(
                f"No such group of archive members: {_listed(unknown)}",
                remedy=f"Use any of these, separated by commas: {_listed(known)}",
                code="unknown_group",
            )


def parse_selection(query: Mapping[str, str]) -> Selection:
    """Read `only` and `without` (comma-separated groups) from a request's query.

    Raises `BadRequestError` for one that is there and names no group.
    """
    return Selection(only=_groups(query, "only"), without=_groups(query, "without") or frozenset())


def _groups(query: Mapping[str, str], parameter: str) -> frozenset[str] | None:
    if parameter not in query:
        return None
    groups = frozenset(name.strip() for name in query[parameter].split(",")) - {""}
    if not groups:
        raise BadRequestError(
            f"The parameter '{parameter}' names no group",
            remedy=f"Write {parameter}=GROUP,GROUP, or leave the parameter out",
        )
    return groups


def _listed(groups: frozenset[str]) -> str:
    return ", ".join(sorted(groups))
