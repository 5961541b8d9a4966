"""The manifest for a person: `manifest.txt`."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from endoscope import giving_way
from endoscope_export.manifest import processes_document, rfc3339, uptime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from endoscope_export.manifest import FailureRow, LeftOut, Manifest, MemberRow, PluginRow

CHECK_COMMAND = "grep -aE '^.?[0-9a-f]{64}  ' manifest.txt | sha256sum -c"
"""Checks all files, run by a shell in the folder that the archive was unpacked into."""

# As sha256sum itself writes and reads them.
_CHECKSUM_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})


def as_text(manifest: Manifest) -> bytes:
    """Return `manifest.txt`: UTF-8, but for the names of files, which are as they are."""
    text = "\n".join(giving_way(_lines(manifest))) + "\n"
    return text.encode("utf-8", "surrogateescape")


def _lines(manifest: Manifest) -> Iterator[str]:
    yield f"Diagnostics archive of {printable(manifest.host.service_name)}"
    yield ""
    yield from _table(_facts(manifest))
    yield from _processes(manifest)
    yield from _section("Plugins", _table(map(_plugin, manifest.plugins)))
    yield from _entries(manifest)
    yield from _section("Files", _table([_FILE_HEAD, *map(_file, manifest.members)]))
    yield from _section(
        f"SHA-256 (to check them all: {CHECK_COMMAND})",
        map(checksum_line, manifest.members),
    )
    yield from _section("Masked in text, by rule", _table(_masked(manifest)))
    yield from _section("Left out, because it was not asked for", _left_out(manifest))
    yield from _section("Skipped, cut or failed", _failures(manifest))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield title
    empty = True
    for line in lines:
        empty = False
        yield line
    if empty:
        yield "  nothing"


def _facts(manifest: Manifest) -> list[tuple[str, ...]]:
    host = manifest.host
    facts = {
        "made": f"{rfc3339(manifest.made)} ({int(manifest.made)})",
        "service": f"{host.service_name} {host.service_version}".rstrip(),
        "python": host.python_version,
        "endoscope": host.endoscope_version,
        "platform": host.platform,
        "process id": str(host.pid) + (" (made this archive)" if manifest.processes else ""),
        "process up": f"{uptime(manifest):.0f} s",
        **({"processes": str(len(manifest.processes))} if manifest.processes else {}),
        "output directory": str(host.output_directory),
        "asked for": _asked_for(manifest),
    }
    return list(facts.items())


def _processes(manifest: Manifest) -> Iterator[str]:
    if not manifest.processes:
        return
    rows = processes_document(manifest.processes, manifest.members, manifest.failures)
    table = [tuple(map(str, row.values())) for row in rows]
    yield from _section("Processes", _table([_PROCESS_HEAD, *table]))


def _asked_for(manifest: Manifest) -> str:
    selection = manifest.selection
    only, without, since = selection.only, selection.without, selection.since
    asked = "everything" if only is None else "only " + ", ".join(sorted(only))
    asked += " without " + ", ".join(sorted(without)) if without else ""
    return asked + ("" if since is None else f" since {rfc3339(since)}")


def _plugin(row: PluginRow) -> tuple[str, ...]:
    report = row.report
    # The hooks are what a plugin can do; their common prefix says nothing here.
    abilities = [hook.removeprefix("endoscope_") for hook in report.hooks]
    state = ", ".join(abilities) or ("disabled" if report.disabled else "no abilities")
    took = f"timed out after {row.seconds:.1f} s" if row.timed_out else f"{row.seconds:.3f} s"
    return (report.name, report.version, report.distribution, took, state)


def _entries(manifest: Manifest) -> Iterator[str]:
    """One section per process, plugin and section, in the order in which they were told."""
    sections = groupby(manifest.entries, key=lambda row: (row.process, row.plugin, row.section))
    for (process, plugin, section), entries in sections:
        owner = "" if process is None else f"process {process}, "
        title = owner + (plugin if section == plugin else f"{plugin}: {section}")
        rows = [(entry.name, _shown(entry.value)) for entry in entries]
        yield from _section(printable(title), _table(rows))


def _shown(value: object) -> str:
    words = {None: "-", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


_PROCESS_HEAD = ("pid", "started", "files", "failed")
_FILE_HEAD = ("bytes", "modified", "plugin", "seconds", "content", "path")


def _file(row: MemberRow) -> tuple[str, ...]:
    path = row.path + (" (cut)" if row.truncated else "")
    return (
        str(row.bytes),
        row.modified or "-",
        row.plugin,
        f"{row.seconds:.3f}",
        row.content,
        path,
    )


def _masked(manifest: Manifest) -> Iterator[tuple[str, ...]]:
    for row in manifest.members:
        if row.redactions:
            counts = ", ".join(f"{rule} {count}" for rule, count in row.redactions.items())
            yield (row.path, counts)


def checksum_line(row: MemberRow) -> str:
    """Return the line that `sha256sum` would write for this file."""
    escaped = row.path.translate(_CHECKSUM_ESCAPES)
    return f"{'' if escaped == row.path else chr(92)}{row.sha256}  {escaped}"


def _left_out(manifest: Manifest) -> Iterator[str]:
    return _table((row.path, _why_left_out(row)) for row in manifest.left_out)


def _why_left_out(row: LeftOut) -> str:
    return f"group {row.group}" if row.reason == "group" else "not changed since then"


def _failures(manifest: Manifest) -> Iterator[str]:
    return _table(map(_failure, manifest.failures))


def _failure(row: FailureRow) -> tuple[str, ...]:
    return (row.what, row.code, row.message)


def _table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Align all columns but the last."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  " + "  ".join(padded).rstrip()


def printable(text: str) -> str:
    """Return text that moves no cursor: whatever cannot be printed is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
