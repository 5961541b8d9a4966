"""The views of a profile: which there are, and what can be asked of them.

One list for everybody who offers them: a service over HTTP, a command line, a notebook.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from endoscope_profiles import growth_table, selection
from endoscope_profiles.aggregate import BY
from endoscope_profiles.amounts import size
from endoscope_profiles.comparison import since
from endoscope_profiles.coverage import statement_since
from endoscope_profiles.growth import Growth, growth
from endoscope_profiles.model import Profile
from endoscope_profiles.origin import Origin
from endoscope_profiles.printable import printable

MOST_PATTERN = 500
_SHOWN = 100  # characters of what was given, in an error
_NOT_FOR_ALL = ("by", "value", "limit")  # of the options
MOST_ROWS = 10_000

HIDEABLE: Mapping[str, frozenset[Origin]] = {
    "interpreter": frozenset({Origin.INTERPRETER}),
    "allocator": frozenset({Origin.ALLOCATOR}),
    "library": selection.LIBRARY,
    "native": frozenset({Origin.NATIVE, Origin.INTERPRETER, Origin.ALLOCATOR}),
}
"""What kinds of frames can be hidden, by the word for it."""


class ViewError(ValueError):
    """An option that no view takes. `option` is its name, `remedy` what to do."""

    def __init__(self, option: str, message: str, remedy: str) -> None:
        super().__init__(option, message, remedy)
        self.option = option
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class View:
    """What is to be shown of a profile, and how.

    `format` is one of `FORMATS`, for growth of `GROWTH_FORMATS`, or of those in `process_views`.
    `by` (of `aggregate.BY`, or what a kind of view has beside these), `limit` (rows) and
    `objects` (blocks instead of bytes) are for those formats that heed them; folded stacks have
    lines `by` line. The rest says which stacks and frames are left out, see `selection`.
    """

    format: str = "top"
    by: str = "function"
    objects: bool = False
    limit: int = 20
    focus: re.Pattern[str] | None = None
    ignore: re.Pattern[str] | None = None
    hide: re.Pattern[str] | None = None
    hide_kinds: tuple[str, ...] = ()
    fold_recursion: bool = False

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> View:
        """Return the view of a profile that is meant by texts, as they come in a URL.

        Keys are `format` and `OPTIONS`. Raises `ViewError`, also for an option that the format
        does not heed.
        """
        made = choice("format", FORMATS, options)
        return cls.parsed(options, made, BY, FORMATS[made].heeds)

    @classmethod
    def parse_growth(cls, options: Mapping[str, str]) -> View:
        """Return the view of the growth over several profiles that is meant, as `parse` does."""
        made = choice("format", GROWTH_FORMATS, options)
        return cls.parsed(options, made, ("stack", *BY), GROWTH_FORMATS[made].heeds)

    @classmethod
    def parsed(
        cls, options: Mapping[str, str], made: str, by: Collection[str], heeds: Collection[str]
    ) -> View:
        """Return the view in the format `made` that is meant, as `parse` does.

        `by` are its choices for that, the first if none was made; `heeds` what the format heeds.
        """
        _check_heeded(options, made, heeds)
        return cls(
            format=made,
            by=choice("by", by, options),
            objects=choice("value", ("bytes", "objects"), options) == "objects",
            limit=whole_number("limit", options.get("limit", "20"), MOST_ROWS),
            focus=_pattern("focus", options),
            ignore=_pattern("ignore", options),
            hide=_pattern("hide", options),
            hide_kinds=_kinds(options.get("hide_kinds", "")),
            fold_recursion=choice("fold", ("0", "1"), options) == "1",
        )

    @property
    def needs_threads(self) -> bool:
        """Return whether the profile is to be read with its threads told apart."""
        return self.by == "thread"

    def leaves(self, selected: Profile) -> tuple[str, ...]:
        """Return what to say of a view that leaves stacks or frames out: what is left of it."""
        patterns = {"focus": self.focus, "ignore": self.ignore, "hide": self.hide}
        said = [f"{name}={each.pattern}" for name, each in patterns.items() if each]
        said += [f"hide_kinds={','.join(self.hide_kinds)}"] if self.hide_kinds else []
        said += ["fold=1"] if self.fold_recursion else []
        if not said:
            return ()
        left = f"{size(selected.bytes)} ± {size(selected.bytes_error)}"
        return (printable(f"Shown is what these options leave, {left}: {' '.join(said)}."),)

    def select(self, profile: Profile) -> Profile:
        """Return `profile` without what this view leaves out."""
        if self.focus:
            profile = selection.focus(profile, self.focus)
        if self.ignore:
            profile = selection.ignore(profile, self.ignore)
        if self.hide:
            profile = selection.hide(profile, self.hide)
        if self.hide_kinds:
            origins = frozenset[Origin]().union(*(HIDEABLE[kind] for kind in self.hide_kinds))
            profile = selection.hide_origins(profile, origins)
        return selection.fold_recursion(profile) if self.fold_recursion else profile


OPTIONS: Mapping[str, str] = {
    "by": f"What the tables (top, csv) tell apart: {', '.join(BY)}",
    "value": "What top and folded count: bytes or objects",
    "limit": f"How many rows top has, at most {MOST_ROWS}; 20 if not given",
    "focus": "Only stacks with a frame that matches this regular expression",
    "ignore": "No stacks with a frame that matches this regular expression",
    "hide": "Leave frames that match this regular expression out of the stacks",
    "hide_kinds": f"Leave out kinds of frames, comma-separated: {', '.join(HIDEABLE)}",
    "fold": "1: take out of stacks what lies between two calls of one function",
}
"""The options beside `format`, and what they mean."""


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a profile. `suffix` is for the names of files.

    `heeds` are the options that make a difference to it, beside those that leave something out,
    which all heed.
    """

    media_type: str
    suffix: str
    heeds: tuple[str, ...]
    write: Callable[[View, Shown], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class GrowthFormat:
    """A way to write what grew over several profiles; as `Format`."""

    media_type: str
    suffix: str
    heeds: tuple[str, ...]
    write: Callable[[View, Growth], bytes]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a format is to write: both profiles as the view selected them.

    `base` is what `profile` is compared with, if it is; `coverage` what is to be said of them.
    """

    profile: Profile
    base: Profile | None
    title: str
    coverage: tuple[str, ...]

    @property
    def growth(self) -> Profile:
        """Return the profile, or what it holds more than the base."""
        return since(self.base, self.profile)


def render(
    view: View, profile: Profile, *, title: str, base: Profile | None = None
) -> Iterator[bytes]:
    """Yield what `view` shows of `profile`, or of what it holds more than `base`, in bytes."""
    selected = view.select(profile)
    covered = (*statement_since(base, profile), *view.leaves(selected))
    shown = Shown(selected, None if base is None else view.select(base), title, covered)
    return FORMATS[view.format].write(view, shown)


def render_growth(view: View, profiles: Sequence[Profile]) -> bytes:
    """Return what grew over `profiles`, of which there is at least one."""
    grown = growth([*map(view.select, profiles)], view.by)
    grown = replace(grown, notes=(*view.leaves(grown.profiles[-1]), *grown.notes))
    return GROWTH_FORMATS[view.format].write(view, grown)


def policy(made: str) -> str:
    """Return the Content-Security-Policy that a format's page needs; empty if it is no page."""
    if made != "flamegraph":
        return ""
    from endoscope_profiles import flamegraph

    # Only a header can say who may show the page in a frame of theirs.
    return f"{flamegraph.POLICY}; frame-ancestors 'none'"


# Each imports its format when it is asked for: protobuf alone takes longer than all the rest.


def _top(view: View, shown: Shown) -> Iterator[bytes]:
    from endoscope_profiles import table

    lines = table.lines(
        shown.profile,
        by=view.by,
        objects=view.objects,
        limit=view.limit,
        base=shown.base,
        coverage=shown.coverage,
    )
    return map(_line, lines)


def _csv(view: View, shown: Shown) -> Iterator[bytes]:
    from endoscope_profiles import csv_table

    return csv_table.write(shown.profile, by=view.by, base=shown.base, coverage=shown.coverage)


def _flamegraph(_view: View, shown: Shown) -> Iterator[bytes]:
    from endoscope_profiles import flamegraph

    return flamegraph.write(
        shown.profile, title=shown.title, base=shown.base, coverage=shown.coverage
    )


def _pprof(_view: View, shown: Shown) -> Iterator[bytes]:
    from endoscope_profiles import pprof

    try:
        yield pprof.write(shown.growth, coverage=shown.coverage)
    except ValueError as error:
        others = ", ".join(name for name in FORMATS if name != "pprof")
        raise ViewError("format", f"pprof cannot hold it: {error}", f"Take {others}") from error


def _folded(view: View, shown: Shown) -> Iterator[bytes]:
    from endoscope_profiles import folded

    return folded.write(shown.growth, objects=view.objects, lines=view.by == "line")


def _speedscope(_view: View, shown: Shown) -> Iterator[bytes]:
    from endoscope_profiles import speedscope

    return speedscope.write(shown.growth, title=shown.title, coverage=shown.coverage)


FORMATS: Mapping[str, Format] = {
    "top": Format("text/plain; charset=utf-8", "txt", ("by", "value", "limit"), _top),
    "csv": Format("text/csv; charset=utf-8", "csv", ("by",), _csv),
    "flamegraph": Format("text/html; charset=utf-8", "html", (), _flamegraph),
    "pprof": Format("application/octet-stream", "pb.gz", (), _pprof),
    "folded": Format("text/plain; charset=utf-8", "folded", ("by", "value"), _folded),
    "speedscope": Format("application/json", "speedscope.json", (), _speedscope),
}
"""The formats, by the name to ask for them."""


def _growth_json(view: View, grown: Growth) -> bytes:
    return json.dumps(growth_table.data(grown, limit=view.limit), indent=2).encode() + b"\n"


def _growth_text(view: View, grown: Growth) -> bytes:
    return b"".join(map(_line, growth_table.lines(grown, limit=view.limit)))


def _growth_csv(_view: View, grown: Growth) -> bytes:
    return growth_table.csv_text(grown)


def _line(text: str) -> bytes:
    return f"{text}\n".encode("utf-8", "replace")


GROWTH_FORMATS: Mapping[str, GrowthFormat] = {
    "json": GrowthFormat("application/json", "json", ("by", "limit"), _growth_json),
    "text": GrowthFormat("text/plain; charset=utf-8", "txt", ("by", "limit"), _growth_text),
    "csv": GrowthFormat("text/csv; charset=utf-8", "csv", ("by",), _growth_csv),
}
"""The formats of growth, by the name to ask for them."""


def choice(option: str, choices: Collection[str], options: Mapping[str, str]) -> str:
    """Return the one of `choices` that was chosen, the first if none was. Raises `ViewError`."""
    given = options.get(option, next(iter(choices)))
    if given not in choices:
        raise ViewError(
            option,
            f"{option}={given[:_SHOWN]!r} is not possible",
            f"Give one of: {', '.join(choices)}",
        )
    return given


def _check_heeded(options: Mapping[str, str], made: str, heeds: Collection[str]) -> None:
    for option in options:
        if option in _NOT_FOR_ALL and option not in heeds:
            taken = f"it takes {', '.join(heeds)}" if heeds else "it takes none of that kind"
            raise ViewError(option, f"format={made} heeds no {option}", f"Leave it out; {taken}")


def whole_number(option: str, given: str, most: int) -> int:
    """Return the number from 1 to `most` that a text is. Raises `ViewError`."""
    digits = given.isascii() and given.isdigit() and len(given) <= len(str(most))
    if not digits or not 1 <= int(given) <= most:
        raise ViewError(
            option,
            f"{option}={given[:_SHOWN]!r} is not possible",
            f"Give a whole number from 1 to {most}",
        )
    return int(given)


def _pattern(option: str, options: Mapping[str, str]) -> re.Pattern[str] | None:
    given = options.get(option, "")
    if not given:
        return None
    if len(given) > MOST_PATTERN:
        raise ViewError(option, f"{option} is too long", f"Give at most {MOST_PATTERN} characters")
    try:
        return re.compile(given)
    except (re.error, OverflowError, RecursionError) as error:
        raise ViewError(
            option,
            f"{option}={given!r} is no regular expression: {error}",
            "Write it as Python's module re takes it, and \\ before what is meant as it stands",
        ) from error


def _kinds(given: str) -> tuple[str, ...]:
    kinds = tuple(kind for kind in given.split(",") if kind)
    for kind in kinds:
        choice("hide_kinds", HIDEABLE, {"hide_kinds": kind})
    return kinds
