"""How long it takes, and how much memory, to see what a heap dump says.

    python benchmarks/convert.py [--sizes 1,38,400] [--rounds 3] [--limit-seconds 3600]

Makes dumps of these sizes (MB) with about 30 frames a stack, then has everybody show the biggest
functions of the same dump, each in a process of its own, one after the other in turn: `endoscope
report`, `jeprof --text`, and `go tool pprof -top` on the same profile in its own format, which
`endoscope report` made. Then what else `endoscope report` makes of it. Prints seconds and peak
resident memory (medians), and ratios to `endoscope report`. What is not installed is left out;
what exceeds the limit is ended and counted with the limit.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from endoscope_profiles import Frame, jemalloc_heap

INTERVAL = 524288
STACKS_PER_MB = 1580  # of 30 frames
FRAMES = 20_000  # at most
DEPTH = 30
REPORT = [sys.executable, "-m", "endoscope", "report"]


@dataclass(frozen=True)
class Took:
    seconds: float
    peak_mb: float
    ended: bool  # at the limit


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="endoscope-bench-", dir=options.directory) as folder:
        for megabytes in options.sizes:
            dump = Path(folder) / f"{megabytes}.prof"
            write_dump(dump, round(megabytes * STACKS_PER_MB))
            one_size(dump, options.rounds, options.limit_seconds)
            dump.unlink()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    sizes = lambda text: [int(size) for size in text.split(",")]  # noqa: E731
    parser.add_argument("--sizes", type=sizes, default=[1, 38, 400], help="MB, comma-separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit-seconds", type=float, default=3600)
    parser.add_argument("--directory", type=Path, default=None)
    return parser.parse_args()


# --- a dump ------------------------------------------------------------------------------------


def write_dump(path: Path, stacks: int) -> None:
    with path.open("wb") as file:
        file.writelines(jemalloc_heap.write(records(stacks), interval_bytes=INTERVAL))


def records(stacks: int) -> Iterator[tuple[Sequence[Frame], int, int]]:
    """Yield stacks that share their outer frames, as those of a program do."""
    chance = random.Random(1)  # noqa: S311  the same dump every time
    frames = [frame(number) for number in range(min(FRAMES, stacks // 3))]
    stem: list[Frame] = []
    for _ in range(stacks):
        del stem[chance.randrange(DEPTH) :]
        while len(stem) < DEPTH:
            stem.append(chance.choice(frames))
        objects = chance.randint(1, 3)
        yield stem[::-1], objects, objects * chance.choice((48, 64, 512, 4096, 65536, 1 << 20))


def frame(number: int) -> Frame:
    module = number % 500
    return Frame(
        f"Module{module}.function_{number}", f"/srv/app/package/module_{module}.py", number
    )


# --- everybody -----------------------------------------------------------------------------------


def one_size(dump: Path, rounds: int, limit: float) -> None:
    pprof = dump.with_suffix(".pb.gz")
    subprocess.run([*REPORT, str(dump), "-f", "pprof", "-o", str(pprof)], check=True, stderr=-3)
    commands = views(dump, pprof)
    took: dict[str, list[Took]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, command in commands.items():
            if number and took[name][-1].seconds > limit / 10:
                continue  # once is enough of what takes so long
            took[name].append(run(command, limit))
    size = dump.stat().st_size / 1e6
    print(f"\n{size:.0f} MB, {pprof.stat().st_size / 1e6:.1f} MB as pprof")
    table(took, size)
    pprof.unlink()


def views(dump: Path, pprof: Path) -> dict[str, list[str]]:
    commands = {"endoscope report": [*REPORT, str(dump)]}
    if program := shutil.which("jeprof"):
        commands["jeprof --text"] = [program, "--text", str(dump)]
    if program := shutil.which("go"):
        commands["go tool pprof -top"] = [program, "tool", "pprof", "-top", str(pprof)]
        commands["endoscope report, of pprof"] = [*REPORT, str(pprof)]
    for made in ("flamegraph", "pprof", "speedscope", "folded", "csv"):
        commands[f"endoscope report -f {made}"] = [*REPORT, str(dump), "-f", made, "-o", "-"]
    return commands


def run(command: Sequence[str], limit: float) -> Took:
    """Run it to its end and return what it took, children included."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=-3, stderr=-3, start_new_session=True)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, limit)
    _, status, usage = os.wait4(process.pid, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    ended = process.returncode == -signal.SIGKILL
    if process.returncode and not ended:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return Took(time.monotonic() - began, usage.ru_maxrss / 1024, ended)


def table(took: dict[str, list[Took]], size: float) -> None:
    base = statistics.median(each.seconds for each in took["endoscope report"])
    print(f"{'':<34} {'s':>8} {'ratio':>8} {'peak MB':>8} {'/ size':>7}")
    for name, each in took.items():
        seconds = statistics.median(one.seconds for one in each)
        peak = statistics.median(one.peak_mb for one in each)
        more = "> " if any(one.ended for one in each) else ""
        print(
            f"{name:<34} {more + format(seconds, '.2f'):>8} {seconds / base:>8.2f} "
            f"{peak:>8.0f} {peak / size:>7.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
