"""`endoscope verify`: whether archives are whole, and what is not in them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from endoscope_profiles.amounts import size
from endoscope_profiles.printable import printable
from endoscope_report.manifest import LeftOutRow
from endoscope_report.output import printing
from endoscope_report.progress import reading
from endoscope_report.verification import Problem, Verdict, Verification, verify


@click.command("verify")
@click.argument("archives", metavar="ARCHIVE...", nargs=-1, required=True, type=Path)
@click.option("--strict", is_flag=True, help="Exit with 1 if anything failed or was cut, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.pass_context
def verify_archives(
    context: click.Context, archives: Sequence[Path], strict: bool, as_json: bool
) -> None:
    """Check that archives are whole, and safe to unpack.

    Everything is read, from the compression to the SHA-256 of each file, and held against the
    archive's own manifest; nothing is unpacked. ARCHIVE is a file, plain or compressed by gzip
    or zstd, or - for standard input.

    Each problem is a line that says what to do. Then comes what the manifest itself tells: what
    failed, was cut, or was not asked for. The last line is the verdict: whole; whole, but not
    everything is in it; incomplete; damaged; unsafe; or unreadable.

    Exits with 0 if all archives are whole, with 1 if one is not.
    """
    checked = {}
    for archive in archives:
        with reading(archive) as progress:
            checked[archive] = verify(archive, progress)
        if not as_json:
            _print(archive, checked[archive])
    if as_json:
        with printing():
            click.echo(json.dumps([_row(*each) for each in checked.items()], indent=2))
    context.exit(0 if all(_passes(each, strict) for each in checked.values()) else 1)


def _passes(verification: Verification, strict: bool) -> bool:
    return verification.verdict.is_whole and not (strict and verification.failures)


def _print(archive: Path, verification: Verification) -> None:
    with printing():
        for line in _lines(verification):
            click.echo(f"  {printable(line)}")
        click.echo(f"{printable(str(archive))}: {_verdict(verification)}")


def _lines(verification: Verification) -> Iterator[str]:
    yield from map(_problem, verification.problems)
    if verification.untold:
        yield f"and {verification.untold:,} more problems"
    found = verification.manifest
    if found is None:
        return
    for row in found.failures:
        yield f"failed: {row.what}: {row.code}: {row.message}"
    for member in found.cut:
        yield f"cut: {member.path}"
    yield from _left_out(found.left_out)


def _left_out(rows: Iterable[LeftOutRow]) -> Iterator[str]:
    """Yield a line for each file; what several processes have alike is one."""
    alike = Counter((_in_its_folder(row), row.reason, row.group) for row in rows)
    for (path, reason, group), count in alike.items():
        of = f" of {count:,} processes" if count > 1 else ""
        yield f"left out: {path}{of} (by {reason}; group {group})"


def _in_its_folder(row: LeftOutRow) -> str:
    return row.path.removeprefix(f"processes/{row.process}/")


def _problem(problem: Problem) -> str:
    label = problem.verdict.value if problem.verdict else "warning"
    where = "" if problem.path is None else f"{problem.path or 'a file without a name'}: "
    return f"{label}: {where}{problem.message}. {problem.remedy}"


def _verdict(verification: Verification) -> str:
    verdict = verification.verdict
    manifest = verification.manifest
    gaps = f": {manifest.gaps()}" if manifest and verdict is Verdict.GAPS else ""
    return f"{verdict.value}{gaps} ({verification.members:,} files, {size(verification.bytes)})"


def _row(archive: Path, verification: Verification) -> dict[str, Any]:
    found = verification.manifest
    return {
        "archive": str(archive),
        "verdict": verification.verdict.name.lower(),
        "members": verification.members,
        "bytes": verification.bytes,
        "problems": [
            asdict(each) | {"verdict": each.verdict and each.verdict.value}
            for each in verification.problems
        ],
        "problems_untold": verification.untold,
        "failures": [asdict(row) for row in found.failures] if found else [],
        "cut": [row.path for row in found.cut] if found else [],
        "left_out": [asdict(row) for row in found.left_out] if found else [],
    }
