"""A heap profile, or the growth between two, as a flame graph: one HTML page. `write`.

The page is a file of its own: it asks for nothing, and its Content-Security-Policy lets no
script or style run but its own. It holds the whole profile as data, so that every view of it
is reckoned in the browser, and the biggest stacks as a table, which needs no JavaScript.

What it is made of lies in `flamegraph_page/`; the drawing library there is d3-flame-graph.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from itertools import chain
from operator import attrgetter
from typing import NamedTuple, TypeVar

from endoscope_profiles.amounts import count, size
from endoscope_profiles.comparison import diff
from endoscope_profiles.coverage import statement_since
from endoscope_profiles.model import Frame, Profile, Sample
from endoscope_profiles.origin import origin, package
from endoscope_profiles.printable import printable

_SHOWN_STACKS = 100
_CHUNK_CHARACTERS = 128 * 1024
_NUMBERS_PER_CHUNK = 8192
_SHADES = 4

_NOTHING_LIVE = (
    '<p class="empty">There is nothing to draw: there is no stack in it. Little was allocated '
    "since profiling began, it has been freed again, or this view leaves all of it out.</p>"
)
_NO_DIFFERENCE = (
    '<p class="empty">There is nothing to draw: every stack holds what it held in the base.</p>'
)

_SCRIPTS = (
    "vendored/d3-flame-graph.min.js",
    "amounts.js",
    "tree.js",
    "view.js",
    "search.js",
    "words.js",
    "drawing.js",
    "page.js",
)


def _asset(name: str) -> str:
    return (resources.files(__package__) / "flamegraph_page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_TEMPLATE = _asset("page.html")
_STYLE = _asset("page.css")
_SCRIPT = "".join(map(_asset, _SCRIPTS))

POLICY = (
    f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; "
    "img-src data:; base-uri 'none'; form-action 'none'"
)
"""The Content-Security-Policy of every page. It stands in the page as well.

Images from `data:` are allowed for the page's icon, which a browser would ask the server for.
"""


def write(
    profile: Profile,
    *,
    title: str,
    base: Profile | None = None,
    coverage: Sequence[str] | None = None,
) -> Iterator[bytes]:
    """Yield the page, UTF-8, in chunks. The same profile gives the same bytes.

    `coverage` is what it covers, in lines, if not what `statement` says of the profile.

    With `base` it is a comparison, of which `profile` is the later one. 50,000 stacks of 30
    frames take half a second.
    """
    covered = statement_since(base, profile) if coverage is None else coverage
    parts = _parts(profile) if base is None else _parts_of_diff(base, profile)
    parts |= _parts_of_any(title, covered)
    batch, length = [], 0
    for text in _filled(_TEMPLATE, parts):
        batch.append(text)
        length += len(text)
        if length >= _CHUNK_CHARACTERS:
            yield "".join(batch).encode()
            batch, length = [], 0
    yield "".join(batch).encode()


_Parts = dict[str, Iterable[str]]


def _filled(template: str, parts: _Parts) -> Iterator[str]:
    """Yield `template` with each `{{name}}` replaced by the part of that name."""
    for at, text in enumerate(re.split(r"\{\{(\w+)\}\}", template)):
        is_name = at % 2 == 1
        yield from parts[text] if is_name else [text]


def _parts(profile: Profile) -> _Parts:
    return {
        "empty": [] if profile.samples else [_NOTHING_LIVE],
        "tables": _table("hold the most", profile.samples, signed=False),
        "data": _data({"target": profile.samples}),
    }


def _parts_of_diff(base: Profile, target: Profile) -> _Parts:
    changed = diff(base, target).samples
    grown = [sample for sample in changed if sample.bytes > 0]
    shrunk = [sample for sample in reversed(changed) if sample.bytes < 0]
    before, after = _side_by_side(base.samples, target.samples)
    return {
        "empty": [] if changed else [_NO_DIFFERENCE],
        "tables": chain(
            _table("grew the most", grown, signed=True),
            _table("shrank the most", shrunk, signed=True),
        ),
        "data": _data({"target": after, "base": before}),
    }


def _parts_of_any(title: str, coverage: Iterable[str]) -> _Parts:
    return {
        "policy": [html.escape(POLICY)],
        "title": [_text(title)],
        "coverage": [f"<p>{_text(line)}</p>\n" for line in coverage],
        "style": [_STYLE],
        "script": [_SCRIPT],
        "licences": [html.escape(_asset("vendored/LICENSE"))],
    }


def _side_by_side(
    base: Iterable[Sample], target: Iterable[Sample]
) -> tuple[list[Sample], list[Sample]]:
    """Return both with the same stacks in the same order: a stack that is missing holds nothing."""
    before = {sample.stack: sample for sample in base}
    after = {sample.stack: sample for sample in target}
    stacks = dict.fromkeys([*after, *before])
    nothing = {stack: Sample(stack, 0.0, 0.0) for stack in stacks}
    return list({**nothing, **before}.values()), list({**nothing, **after}.values())


# --- texts ------------------------------------------------------------------------------------

_LONGEST, _KEPT = 1000, 300


def _shortened(text: str) -> str:
    """Return `text` as the page shows it: its ends only if it is very long."""
    if len(text) > _LONGEST:
        left_out = count(len(text) - 2 * _KEPT)
        text = f"{text[:_KEPT]}… ({left_out} more characters) …{text[-_KEPT:]}"
    return printable(text)


def _text(text: str) -> str:
    return html.escape(_shortened(text))


def _place(frame: Frame) -> str:
    return _text(f"{frame.function} ({frame.where})" if frame.where else frame.function)


# --- the tables -------------------------------------------------------------------------------


def _table(what: str, samples: Sequence[Sample], *, signed: bool) -> Iterator[str]:
    """Yield a table of the first stacks, and a row about those that are left out."""
    if not samples:
        return
    shown, rest = samples[:_SHOWN_STACKS], samples[_SHOWN_STACKS:]
    total = math.fsum(sample.bytes for sample in samples)
    yield f"<table>\n<caption>The {count(len(shown))} stacks that {what}</caption>\n"
    yield '<thead><tr><th scope="col">#</th><th scope="col">Bytes</th>'
    yield '<th scope="col">Objects</th><th scope="col">Share</th>'
    yield '<th scope="col">Stack, innermost frame first</th></tr></thead>\n<tbody>\n'
    for number, sample in enumerate(shown, 1):
        yield f"<tr><td>{number}</td>{_cells([sample], total, signed=signed)}<td>"
        yield from _stack(sample.stack)
        yield "</td></tr>\n"
    if rest:
        more = f"<td>{count(len(rest))} more stacks, in all</td>"
        yield f"<tr><td></td>{_cells(rest, total, signed=signed)}{more}</tr>\n"
    yield "</tbody>\n</table>\n"


def _cells(samples: Sequence[Sample], total: float, *, signed: bool) -> str:
    """Return the cells of bytes, objects and the share of `total`, of some stacks together."""
    sums = Profile(tuple(samples), 0)
    texts = (
        _amount(size, sums.bytes, sums.bytes_error, signed=signed),
        _amount(count, sums.objects, sums.objects_error, signed=signed),
        f"{sums.bytes / total:.1%}" if total else "",
    )
    return "".join(f"<td>{text}</td>" for text in texts)


def _amount(write: Callable[[float], str], value: float, error: float, *, signed: bool) -> str:
    sign = ("\N{MINUS SIGN}" if value < 0 else "+" if value > 0 else "") if signed else ""
    return f"{sign}{write(abs(value))} ± {write(error)}"


def _stack(stack: Sequence[Frame]) -> Iterator[str]:
    yield f"<details><summary>{_place(stack[0])}</summary>\n<ol>\n"
    yield from (f"<li>{_place(frame)}</li>\n" for frame in stack)
    yield "</ol></details>"


# --- the data ---------------------------------------------------------------------------------

_Key = TypeVar("_Key")


class _Numbers(dict[_Key, int]):
    """What is met, and the numbers that are given to it in the order in which it is."""

    def __missing__(self, key: _Key) -> int:
        number = self[key] = len(self)
        return number


class _Paths(NamedTuple):
    """Stacks, outermost frame first and sorted, each written as how it differs from the last.

    Of the path before it each keeps its first `kept` frames, and goes on with `added` of those
    in `nodes`: the nodes of a prefix tree, in preorder. `order` has where each one stands among
    the samples.
    """

    frames: Sequence[Frame]
    order: Sequence[int]
    kept: Sequence[int]
    added: Sequence[int]
    nodes: Sequence[int]


def _paths(samples: Sequence[Sample]) -> _Paths:
    frames = _Numbers[Frame]()
    number = frames.__getitem__
    paths = [tuple(map(number, reversed(sample.stack))) for sample in samples]
    order = sorted(range(len(paths)), key=paths.__getitem__)
    kept, added, nodes = array("I"), array("I"), array("I")
    last: tuple[int, ...] = ()
    for path in map(paths.__getitem__, order):
        common = _common(last, path)
        kept.append(common)
        added.append(len(path) - common)
        nodes.extend(path[common:])
        last = path
    return _Paths(list(frames), order, kept, added, nodes)


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return how many frames two paths begin with alike."""
    for depth, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return depth
    return min(len(one), len(other))


def _data(sides: Mapping[str, Sequence[Sample]]) -> Iterator[str]:
    """Yield the data as JSON, without a character that could end its script element.

    Each of `sides` has the same stacks in the same order.
    """
    paths = _paths(sides["target"])
    yield from _frames(paths.frames)
    yield from _column("kept", paths.kept)
    yield from _column("added", paths.added)
    yield from _column("nodes", paths.nodes)
    for side, samples in sides.items():
        ordered = [samples[at] for at in paths.order]
        for name in ("objects", "bytes", "objects_variance", "bytes_variance"):
            yield from _column(f"{side}_{name}", list(map(attrgetter(name), ordered)))
    yield "}"


def _frames(frames: Sequence[Frame]) -> Iterator[str]:
    strings, groups = _Numbers[str](), _Numbers[_Group]()
    functions = [strings[frame.function] for frame in frames]
    files = [strings[frame.file] for frame in frames]
    yield '{"frame_groups":' + _json([groups[_group(frame)] for frame in frames])
    yield ',"groups":' + _json(list(groups))
    yield ',"strings":' + _json([_shortened(text) for text in strings])
    yield from _column("functions", functions)
    yield from _column("files", files)
    yield from _column("lines", [frame.line for frame in frames])


class _Group(NamedTuple):
    """Whose code a frame is: the kind, the package or library, and which shade the file has."""

    kind: str
    name: str
    shade: int


def _group(frame: Frame) -> _Group:
    shade = zlib.crc32(frame.file.encode("utf-8", "replace")) % _SHADES
    return _Group(origin(frame).name.lower(), _shortened(package(frame)), shade)


def _column(name: str, values: Sequence[float]) -> Iterator[str]:
    """Yield `,"name":[…]`. JSON can say Infinity only as a number that is too great."""
    yield f',"{name}":['
    for at in range(0, len(values), _NUMBERS_PER_CHUNK):
        text = ",".join(map(repr, values[at : at + _NUMBERS_PER_CHUNK]))
        yield ("," if at else "") + text.replace("inf", "1e999")
    yield "]"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
