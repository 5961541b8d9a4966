"""The views of several processes' profiles: added up to one, and side by side.

As in `views`, whose options they take.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from endoscope_profiles import outliers_table
from endoscope_profiles.addition import add
from endoscope_profiles.aggregate import BY, PROCESS
from endoscope_profiles.coverage import statement
from endoscope_profiles.model import Profile
from endoscope_profiles.outliers import BY as OUTLIERS_BY
from endoscope_profiles.outliers import Outliers, outliers
from endoscope_profiles.selection import largest
from endoscope_profiles.views import FORMATS, Shown, View, choice

__all__ = [
    "MOST_STACKS",
    "OUTLIERS_BY",
    "OUTLIER_FORMATS",
    "OutlierFormat",
    "parse_merged",
    "parse_outliers",
    "render_merged",
    "render_outliers",
]

MOST_STACKS = 50_000
"""How many stacks are told apart where each process has its own: a page that browsers can show."""


def parse_merged(options: Mapping[str, str]) -> View:
    """Return the view of profiles added up that is meant by texts, as `View.parse` does.

    All formats heed `by=process`.
    """
    made = choice("format", FORMATS, options)
    heeds = FORMATS[made].heeds
    if options.get("by") == PROCESS:
        heeds = ("by", *heeds)
    return View.parsed(options, made, (*BY, PROCESS), heeds)


def render_merged(view: View, profiles: Iterable[Profile], *, title: str) -> Iterator[bytes]:
    """Yield what `view` shows of profiles of several processes added up, in bytes.

    With `by=process` the outermost frame of each stack says whose it is; then no more than
    `MOST_STACKS` are told apart, since each process has its own. The profiles, at least one, are
    taken one by one.
    """
    by_process = view.by == PROCESS
    whole = add(profiles, by_process=by_process)
    selected = view.select(whole)
    shown = largest(selected, MOST_STACKS) if by_process else selected
    covered = (*statement(whole), *view.leaves(selected), *_not_told_apart(selected, shown))
    return FORMATS[view.format].write(view, Shown(shown, None, title, covered))


def _not_told_apart(selected: Profile, shown: Profile) -> Iterator[str]:
    if shown is not selected:
        number = len(selected.samples) - MOST_STACKS
        yield f"Of {len(selected.samples)} stacks the {number} smallest are not told apart."


def parse_outliers(options: Mapping[str, str]) -> View:
    """Return the view of profiles side by side that is meant by texts, as `View.parse` does."""
    made = choice("format", OUTLIER_FORMATS, options)
    return View.parsed(options, made, OUTLIERS_BY, OUTLIER_FORMATS[made].heeds)


def render_outliers(view: View, dumps: Iterable[tuple[str, Profile]]) -> bytes:
    """Return how processes compare by their dumps, at least one: names and profiles.

    They are taken one by one.
    """
    selected = ((name, view.select(profile)) for name, profile in dumps)
    found = outliers(selected, view.by)
    found = replace(found, notes=(*view.leaves(found.whole), *found.notes))
    return OUTLIER_FORMATS[view.format].write(view, found)


@dataclass(frozen=True, slots=True)
class OutlierFormat:
    """A way to write how processes compare; as `views.Format`."""

    media_type: str
    suffix: str
    heeds: tuple[str, ...]
    write: Callable[[View, Outliers], bytes]


def _json(view: View, found: Outliers) -> bytes:
    return json.dumps(outliers_table.data(found, limit=view.limit), indent=2).encode() + b"\n"


def _text(view: View, found: Outliers) -> bytes:
    lines = outliers_table.lines(found, limit=view.limit)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _csv(_view: View, found: Outliers) -> bytes:
    return outliers_table.csv_text(found)


OUTLIER_FORMATS: Mapping[str, OutlierFormat] = {
    "json": OutlierFormat("application/json", "json", ("by", "limit"), _json),
    "text": OutlierFormat("text/plain; charset=utf-8", "txt", ("by", "limit"), _text),
    "csv": OutlierFormat("text/csv; charset=utf-8", "csv", ("by",), _csv),
}
"""The formats of outliers, by the name to ask for them."""
