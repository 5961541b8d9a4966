"""Every tool says the same of the same dump: jeprof, Go's pprof, and what we write.

jeprof is the reference: its sums are compared before rounding, as it cuts what it prints off to
whole bytes. pprof's are whole numbers from the start, and must be equal.
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from endoscope_profiles import Frame, Profile, Sample, folded, jemalloc_heap, pprof, speedscope
from endoscope_profiles.comparison import diff
from endoscope_profiles.whole_numbers import rounded

DATA = Path(__file__).parents[1] / "profiles" / "data"
NUMBERS = {"bytes": "inuse_space", "objects": "inuse_objects"}
PROFILED = {"LD_PRELOAD": "libjemalloc.so.2", "PERL_HASH_SEED": "0"}
INTERVAL = "prof:true,lg_prof_sample:14"

KEPT = ["python-3.14", "mixed-3.14", "native-3.13", "sampler-3.13", "without-names"]
TAKEN = [
    "jemalloc python",
    "jemalloc mixed",
    "jemalloc native",
    "sampler python",
    "tracemalloc python",
]
KEPT_PAIRS = ["python-3.14", "mixed-3.14"]


class Dumps(NamedTuple):
    """A dump and, where there is one, an earlier one of the same process."""

    target: Path
    base: Path | None = None

    @property
    def profile(self) -> Profile:
        return jemalloc_heap.parse(self.target.read_bytes())

    @property
    def earlier(self) -> Profile:
        assert self.base is not None
        return jemalloc_heap.parse(self.base.read_bytes())


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory, needs: Any) -> Callable[[str], Dumps]:
    """Take dumps on this Python with this jemalloc; each kind once."""
    made: dict[str, Dumps] = {}

    def take(kind: str) -> Dumps:
        needs("libjemalloc")
        folder = tmp_path_factory.mktemp("taken")
        folder.chmod(0o700)
        command = [sys.executable, DATA / "program.py", folder, *kind.split()]
        environment = {**os.environ, **PROFILED, "MALLOC_CONF": f"{INTERVAL},prof_active:false"}
        subprocess.run(command, env=environment, check=True, timeout=100)
        return Dumps(folder / "target.prof", folder / "base.prof")

    def once(kind: str) -> Dumps:
        if kind not in made:
            made[kind] = take(kind)
        return made[kind]

    return once


def kept(name: str, folder: Path) -> Path:
    """Unpack a kept dump; in front of one without names stands that there are none."""
    content = gzip.decompress((DATA / f"{name}.prof.gz").read_bytes())
    if content.startswith(b"heap_v2"):
        content = b"--- symbol\nbinary=program\n---\n--- heap\n" + content
    (folder / f"{name}.prof").write_bytes(content)
    return folder / f"{name}.prof"


def find(name: str, folder: Path, taken: Callable[[str], Dumps]) -> Dumps:
    if name in TAKEN:
        return taken(name)
    if name in KEPT_PAIRS:
        return Dumps(kept(f"{name}-target", folder), kept(f"{name}-base", folder))
    return Dumps(kept(name, folder))


@pytest.fixture(params=[*KEPT, *TAKEN])
def dumps(request: Any, tmp_path: Path, taken: Callable[[str], Dumps]) -> Dumps:
    return find(request.param, tmp_path, taken)


@pytest.fixture(params=[*KEPT_PAIRS, *TAKEN])
def pair(request: Any, tmp_path: Path, taken: Callable[[str], Dumps]) -> Dumps:
    return find(request.param, tmp_path, taken)


# --- tables: what functions hold by themselves, and with all that they called -----------------

Table = dict[str, tuple[float, float]]


def table(
    stacks: Iterator[tuple[list[str], float]],
) -> Table:
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for names, number in stacks:
        own[names[0]] += number
        for name in set(names):
            total[name] += number
    return {name: (own[name], total[name]) for name in total}


def cut_off(exact: float, told: int) -> bool:
    """Return whether `told` is `exact`, cut off to a whole number. Sums differ by their order."""
    return math.trunc(exact - 1e-4) <= told <= math.trunc(exact + 1e-4)


def assert_same(told: Table, exact: Table) -> None:
    exact = {name: held for name, held in exact.items() if any(abs(one) > 1e-4 for one in held)}
    different = {
        name
        for name in told.keys() | exact.keys()
        if not all(map(cut_off, exact.get(name, (0, 0)), told.get(name, (math.nan, math.nan))))
    }
    assert different == set()


# --- jeprof -----------------------------------------------------------------------------------


@pytest.fixture
def jeprof(needs: Any) -> Callable[..., str]:
    needs("jeprof")

    def ask(*words: Any) -> str:
        environment = {**os.environ, "PERL_HASH_SEED": "0"}
        command = ["jeprof", "--show_bytes", *words]
        return subprocess.run(
            command, env=environment, capture_output=True, check=True, timeout=100, text=True
        ).stdout

    return ask


def whole_name(position: int, frame: Frame) -> str:
    """Return what jeprof calls a frame. Callers without a name are one below the address."""
    if re.fullmatch("0x[0-9a-f]+", frame.function):
        return f"0x{int(frame.function, 16) - (position > 0):016x}"
    place = f"{frame.file}:{frame.line}" if frame.line else frame.file
    return f"{frame.function} ({place})" if place else frame.function


def whole_names(sample: Sample) -> list[str]:
    return [*itertools.starmap(whole_name, enumerate(sample.stack))]


def short_name(name: str) -> str:
    """Return what is left of a name in jeprof's tables (`ShortFunctionName`)."""
    for dropped in (r"\([^()]*\)(?:\s*const)?", r"<[^<>]*>"):
        found = 1
        while found:
            name, found = re.subn(dropped, "", name)
    return re.sub(r"^.*\s+(\w+::)", r"\1", name)


def short_names(sample: Sample) -> list[str]:
    return [*map(short_name, whole_names(sample))]


_ROW = re.compile(r" *(-?\d+) +\S+ +\S+ +(-?\d+) +\S+ (.*)")


def jeprof_table(text: str) -> tuple[int, Table]:
    head, *lines = text.splitlines()
    rows = [_ROW.fullmatch(line) for line in lines]
    assert all(rows)
    total = re.fullmatch(r"Total: (-?\d+) \w+", head)
    return int(total[1]), {row[3]: (int(row[1]), int(row[2])) for row in rows}


@pytest.mark.parametrize("number", NUMBERS)
def test_functions_hold_what_jeprof_says(dumps, jeprof, number):
    total, told = jeprof_table(jeprof("--text", f"--{NUMBERS[number]}", dumps.target))
    profile = dumps.profile
    assert cut_off(getattr(profile, number), total)
    assert len(told) > 4
    assert_same(told, table((short_names(s), getattr(s, number)) for s in profile.samples))


@pytest.mark.parametrize("number", NUMBERS)
def test_functions_grow_as_jeprof_says(pair, jeprof, number):
    text = jeprof("--text", f"--{NUMBERS[number]}", f"--base={pair.base}", pair.target)
    total, told = jeprof_table(text)
    changed = diff(pair.earlier, pair.profile)
    assert cut_off(getattr(changed, number), total)
    assert any(own < 0 for own, _ in told.values())
    assert_same(told, table((short_names(s), getattr(s, number)) for s in changed.samples))


def stacks_of(text: str) -> tuple[Counter[str], Counter[str]]:
    """Return what folded stacks hold, and how many lines say so."""
    held: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, number = line.rpartition(" ")
        held[stack] += int(number)
        lines[stack] += 1
    return held, lines


@pytest.mark.parametrize("number", NUMBERS)
def test_folded_stacks_hold_what_jeprof_s_do(dumps, jeprof, number):
    """There is a line for each address in jeprof's, each of them cut off."""
    profile = dumps.profile
    text = b"".join(folded.write(profile, objects=number == "objects", lines=True)).decode()
    ours, _ = stacks_of(text)
    theirs, lines = stacks_of(jeprof("--collapsed", f"--{NUMBERS[number]}", dumps.target))
    if dumps.target.stem == "without-names":  # callers are one below their address there
        assert ours.total() == round(getattr(profile, number))
        ours = Counter()
        for sample in profile.samples:
            ours[";".join(whole_names(sample)[::-1])] += round(getattr(sample, number))
    assert ours.keys() == theirs.keys()
    far = {stack for stack in ours if not -1 <= ours[stack] - theirs[stack] <= lines[stack] + 1}
    assert far == set()


@pytest.fixture
def c_program(tmp_path: Path, needs: Any) -> tuple[Path, Path]:
    """Compile a program, and return it and the dump that jemalloc wrote at its end."""
    needs("cc", "libjemalloc", "addr2line")
    program = tmp_path / "program"
    command = ["cc", "-O0", "-pthread", "-no-pie", "-o", program, DATA / "program.c"]
    subprocess.run(command, check=True)
    options = f"{INTERVAL},prof_final:true,prof_prefix:{tmp_path / 'raw'}"
    environment = {**os.environ, **PROFILED, "MALLOC_CONF": options}
    subprocess.run([program], env=environment, check=True, timeout=60)
    (dump,) = tmp_path.glob("raw.*.heap")
    return program, dump


@pytest.mark.parametrize("number", NUMBERS)
def test_addresses_hold_what_jeprof_says_with_the_program_at_hand(c_program, jeprof, number):
    """Whoever called the allocator is the innermost for jeprof, which leaves that out."""
    program, dump = c_program
    text = jeprof("--text", "--addresses", f"--{NUMBERS[number]}", program, dump)
    total, rows = jeprof_table(text)
    told = {f"0x{name.split()[0]}": held for name, held in rows.items()}
    assert {"keep", "keep_large", "main"} <= {name.split()[1] for name in rows}
    profile = jemalloc_heap.parse(dump.read_bytes())
    assert cut_off(getattr(profile, number), total)
    stacks = ([name for name in whole_names(s) if name in told] for s in profile.samples)
    numbers = (getattr(sample, number) for sample in profile.samples)
    assert_same(told, table(zip(stacks, numbers, strict=True)))


# --- Go's pprof -------------------------------------------------------------------------------

_GO_ROW = re.compile(r" *(-?\d+)B? +\S+ +\S+ +(-?\d+)B? +\S+ +(.*)")
_ALL = ["-nodefraction=0", "-edgefraction=0", "-nodecount=1000000"]


@pytest.fixture
def go(tmp_path: Path, needs: Any) -> Callable[..., str]:
    """Ask `go tool pprof`, which must have nothing to complain of."""
    needs("go")
    environment = {**os.environ, "PPROF_TMPDIR": str(tmp_path), "TZ": "UTC"}

    def ask(*words: Any) -> str:
        command = ["go", "tool", "pprof", *words]
        done = subprocess.run(
            command, env=environment, capture_output=True, check=True, timeout=100, text=True
        )
        assert not re.search(r"(?i)error|fail|warn|cannot|not ", done.stderr), done.stderr
        return done.stdout

    return ask


class GoTable(NamedTuple):
    total: int
    rows: dict[str, tuple[int, int]]


def go_table(text: str) -> GoTable:
    head, _, body = text.partition("cum%\n")
    total = re.search(r" of (\d+)B? total", head)
    rows = [_GO_ROW.fullmatch(line) for line in body.splitlines()]
    assert all(rows)
    return GoTable(int(total[1]), {row[3]: (int(row[1]), int(row[2])) for row in rows})


def ask_go(go: Callable[..., str], number: str, *words: Any) -> GoTable:
    unit = {"bytes": "B", "objects": "count"}[number]
    options = [f"-sample_index={NUMBERS[number]}", f"-unit={unit}"]
    return go_table(go("-top", *_ALL, *options, *words))


def whole(profile: Profile, number: str) -> list[int]:
    return rounded([getattr(sample, number) for sample in profile.samples])


def functions(profile: Profile, numbers: list[int]) -> Table:
    names = ([frame.function for frame in sample.stack] for sample in profile.samples)
    return table(zip(names, numbers, strict=True))


def shown(held: Table) -> Table:
    """Leave out what holds nothing, as pprof does."""
    return {name: numbers for name, numbers in held.items() if any(numbers)}


def put(profile: Profile, folder: Path, name: str = "target") -> Path:
    (folder / f"{name}.pb.gz").write_bytes(pprof.write(profile))
    return folder / f"{name}.pb.gz"


@pytest.mark.parametrize("number", NUMBERS)
def test_functions_hold_what_go_s_pprof_says_in_the_same_order(dumps, go, tmp_path, number):
    profile = dumps.profile
    told = ask_go(go, number, put(profile, tmp_path))
    ours = shown(functions(profile, whole(profile, number)))
    assert told.total == round(getattr(profile, number))
    assert told.rows == ours
    assert [*told.rows] == sorted(ours, key=lambda name: (-ours[name][0], name))


@pytest.mark.parametrize("number", NUMBERS)
def test_functions_grow_as_go_s_pprof_says(pair, go, tmp_path, number):
    base, target = pair.earlier, pair.profile
    told = ask_go(go, number, f"-base={put(base, tmp_path, 'base')}", put(target, tmp_path))
    numbers = whole(target, number) + [-each for each in whole(base, number)]
    both = Profile((*target.samples, *base.samples), target.interval_bytes)
    assert told.rows == shown(functions(both, numbers))


@pytest.mark.parametrize("number", NUMBERS)
def test_growth_is_shown_with_its_sign_by_go_s_pprof(pair, go, tmp_path, number):
    """What pprof calls the total then is how much changed, up or down."""
    changed = diff(pair.earlier, pair.profile)
    told = ask_go(go, number, put(changed, tmp_path))
    numbers = whole(changed, number)
    assert any(own < 0 for own, _ in told.rows.values())
    assert told.total == sum(map(abs, numbers))
    assert told.rows == shown(functions(changed, numbers))


@pytest.mark.parametrize(
    "report", ["-raw", "-traces", "-peek=.", "-tree", "-dot", "-tags", "-comments", "-callgrind"]
)
def test_every_report_of_go_s_pprof_can_be_made(go, tmp_path, report):
    profile = jemalloc_heap.parse(kept("mixed-3.14-target", tmp_path).read_bytes())
    output = tmp_path / "output"
    go(report, f"-output={output}", put(profile, tmp_path))
    assert output.stat().st_size > 100


def test_go_s_pprof_gives_back_what_it_was_given(dumps, go, tmp_path):
    """It keeps no field that it does not know: the errors are reckoned again."""
    profile = dumps.profile
    given = put(profile, tmp_path)
    go("-proto", f"-output={tmp_path / 'again.pb.gz'}", given)
    before, after = (
        pprof.parse(gzip.decompress(path.read_bytes()))
        for path in (given, tmp_path / "again.pb.gz")
    )
    amounts = [{s.stack: (s.objects, s.bytes) for s in p.samples} for p in (before, after)]
    assert amounts[0] == amounts[1]
    assert after.facts == before.facts == profile.facts
    assert (after.binary, after.interval_bytes) == (profile.binary, profile.interval_bytes)
    assert after.bytes_error == pytest.approx(profile.bytes_error, rel=0.1)


def test_go_s_own_profile_is_read_as_pprof_reads_it(go):
    file = DATA / "go-heap.pb.gz"
    profile = pprof.parse(gzip.decompress(file.read_bytes()))
    told = ask_go(go, "bytes", file)
    ours = functions(profile, [int(sample.bytes) for sample in profile.samples])
    assert told.total == profile.bytes
    rows = {name.removesuffix(" (inline)"): held for name, held in told.rows.items()}
    assert rows == shown(ours)


# --- all of ours ------------------------------------------------------------------------------


def test_all_formats_have_the_same_totals(dumps):
    profile = dumps.profile
    content = json.loads(b"".join(speedscope.write(profile, title="x")))
    for at, number in enumerate(NUMBERS):
        total = round(getattr(profile, number))
        stacks = b"".join(folded.write(profile, objects=number == "objects")).decode()
        assert stacks_of(stacks)[0].total() == total
        assert content["profiles"][at]["endValue"] == total
        read = pprof.parse(gzip.decompress(pprof.write(profile)))
        assert getattr(read, number) == total
