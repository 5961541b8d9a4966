"""How fast an archive is made, beside GNU tar and the compressors that people put behind it.

    python benchmarks/archive.py [--quick] [--part throughput,masking,start,memory,host,stalled]

Six parts. `throughput` downloads whole archives of some 187 MB (heap dumps, libraries of this
machine, small text and JSON) with curl from a service with diagnostics inside it, and has `tar |
gzip -1`, `tar | pigz -p2 -1` and `tar | zstd -1` pack the same files, unpacked from such an
archive, into a pipe: megabytes per second, CPU of all the processes that pack, ratios of the same
round. `masking` tells how fast secrets are looked for, `start` how soon the first file is there,
`memory` what an export adds to the host's, with `--huge` also one of 10 GB. `host` tells how
late the host's event loop is meanwhile, and how many requests fewer it answers, each beside
what a peer does to it that runs on the same machine. `stalled` lets 50 clients read nothing.

The files are contributed by a plugin, dumps as well: the views that are made of what lies in the
memory plugin's own folder would be measured else. All plugins that are installed take part.
Before each part the benchmark looks for a second at what the machine does without it.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from archive_parts import bystander, files, masking, memory, stalled, start, throughput
from heap.tables import say, show
from heap_profiling import one_of

PARTS = ("throughput", "masking", "start", "memory", "host", "stalled")
HUGE = 10_000 * files.MEGABYTE


def main() -> None:
    """Measure what is asked for, and print the tables."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="archive-", dir=arguments.directory) as place:
        folder = Path(place)
        source = folder / "files"
        say("making the files")
        files.make(source)
        size = files.size_of(source) / files.MEGABYTE
        machine = f"CPython {platform.python_version()}, {os.cpu_count()} cores"
        print(f"{machine}; {size:.0f} MB in files, {arguments.runs} runs", flush=True)
        for part in arguments.part:
            measure(part, folder, source, arguments)


def measure(part: str, folder: Path, source: Path, arguments: argparse.Namespace) -> None:
    """Do one part, and say how much the machine had to do before it."""
    title = f"{part}; before it the machine was busy by {busy():.0%}"
    match part:
        case "throughput":
            lines = throughput.table(throughput.measure(folder, source, arguments.runs))
        case "masking":
            lines = masking.table(masking.measure(arguments.runs))
        case "start":
            lines = start.table(start.measure(folder, source, 4 * arguments.runs))
        case "memory":
            sources = [source, huge(folder, source)] if arguments.huge else [source]
            lines = memory.table(memory.measure(folder, sources))
        case "host":
            lines = bystander.table(bystander.measure(folder, source, arguments.runs))
        case "stalled":
            lines = stalled.table(stalled.measure(folder, source))
    show(title, lines)


def huge(folder: Path, source: Path) -> Path:
    """Return a folder of 10 GB: the same files again and again, by hard links."""
    target = folder / "huge"
    files.multiply(source, target, HUGE)
    return target


def busy() -> float:
    """Return how much of the machine's time was used in the next second, 1 for all of it."""
    before = ticks()
    time.sleep(1)
    idle, whole = (now - then for now, then in zip(ticks(), before, strict=True))
    return 1 - idle / whole


def ticks() -> tuple[int, int]:
    """Return how much time all cores have spent with nothing to do, and how much in all."""
    fields = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()[1:9]
    numbers = [int(field) for field in fields]
    return numbers[3] + numbers[4], sum(numbers)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="one run of everything")
    parser.add_argument("--part", type=one_of(PARTS), default=PARTS, help="such as start,memory")
    parser.add_argument("--runs", type=int, help="how many (5, quick: 1)")
    parser.add_argument("--huge", action="store_true", help="measure memory with 10 GB, too")
    parser.add_argument("--directory", type=Path, help="where to make the files")
    arguments = parser.parse_args()
    arguments.runs = arguments.runs or (1 if arguments.quick else 5)
    return arguments


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit("this needs Linux")
    main()
