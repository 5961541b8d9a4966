"""An archive's manifest as people read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from endoscope_profiles.amounts import size
from endoscope_report.contents import Contents
from endoscope_report.manifest import Manifest
from endoscope_report.tables import Section


def sections_of(contents: Contents, *, in_order: bool = False) -> Iterator[Section]:
    """Yield what is to be told of an archive; its files largest first, or as they lie in it."""
    if contents.manifest is None:
        yield Section("Files", ("bytes", "path"), [*_bare_files(contents, in_order=in_order)])
        return
    document = contents.manifest.document
    yield Section("Archive", (), [*_facts(contents, document)])
    if contents.manifest.processes:
        yield Section("Processes", _PROCESS_HEAD, [*_processes(contents.manifest)])
    yield Section("Groups", ("files", "bytes", "group"), [*_groups(document["members"])])
    rows = document["members"]
    ordered = rows if in_order else sorted(rows, key=lambda row: -int(row["bytes"]))
    yield Section("Files", ("bytes", "group", "path"), [*map(_file, ordered)])
    yield Section("Redacted", ("times", "rule"), [*_redactions(document)])
    yield Section("Left out", ("group", "why", "path"), [*_left_out(contents.manifest)])
    yield Section("Failed or cut", ("what", "code", "why"), [*_failures(contents.manifest)])
    yield Section(
        "Plugins", ("plugin", "version", "seconds", "state"), [*map(_plugin, document["plugins"])]
    )
    first = 0 if contents.manifest.processes else 1  # of one process its id is told above
    rows = [row[first:] for row in _entries(document)]
    yield Section("What plugins tell", _ENTRY_HEAD[first:], rows)


def _bare_files(contents: Contents, *, in_order: bool) -> Iterator[tuple[str, ...]]:
    members = contents.members
    for member in members if in_order else sorted(members, key=lambda each: -each.size):
        note = "" if member.is_file else f"  ({member.what})"
        yield (f"{member.size:,}", member.path + note)


def _facts(contents: Contents, document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    in_all = sum(member.size for member in contents.members)
    yield ("made", f"{document['made']} ({document['timestamp']})")
    yield ("service", f"{document['service_name']} {document['service_version']}".rstrip())
    yield ("process", f"{document['pid']}, up for {document['uptime_seconds']} s")
    if contents.manifest and contents.manifest.processes:
        yield ("of", f"{len(contents.manifest.processes):,} processes")
    for name in ("python", "endoscope"):
        yield (name, document[f"{name}_version"])
    yield ("platform", document["platform"])
    yield ("output directory", document["output_directory"])
    yield ("asked for", _asked_for(document["selection"]))
    yield ("holds", f"{len(contents.members):,} files, {size(in_all)}")


def _asked_for(selection: Mapping[str, Any]) -> str:
    only, without, since = selection["only"], selection["without"], selection.get("since")
    asked = "everything" if only is None else "only " + ", ".join(only)
    asked += " without " + ", ".join(without) if without else ""
    return asked + (f" since {since}" if since else "")


_ENTRY_HEAD = ("process", "plugin", "section", "name", "value")
_PROCESS_HEAD = ("pid", "started", "files", "bytes", "failed", "what")


def _processes(manifest: Manifest) -> Iterator[tuple[str, ...]]:
    """Yield what each process has: in all, and how many files of which group."""
    groups: dict[int | None, Counter[str]] = {}
    sizes: Counter[int | None] = Counter()
    for row in manifest.members:
        groups.setdefault(row.process, Counter())[row.group] += 1
        sizes[row.process] += row.bytes
    failed = Counter(row.process for row in manifest.failures)
    for process in manifest.processes:
        pid, has = process.pid, groups.get(process.pid, Counter())
        what = ", ".join(f"{group} {count:,}" for group, count in sorted(has.items()))
        numbers = (f"{has.total():,}", f"{sizes[pid]:,}", f"{failed[pid]:,}")
        yield (str(pid), process.started, *numbers, what or "nothing")


def _groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for row in rows:
        files[row["group"]] += 1
        sizes[row["group"]] += row["bytes"]
    for group, in_all in sizes.most_common():
        yield (f"{files[group]:,}", f"{in_all:,}", group)


def _file(row: Mapping[str, Any]) -> tuple[str, ...]:
    redacted = sum((row.get("redactions") or {}).values())
    notes = ["cut"] * row["truncated"] + [f"{redacted:,} redacted"] * bool(redacted)
    return (f"{row['bytes']:,}", row["group"], row["path"] + "".join(f"  ({n})" for n in notes))


def _redactions(document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for rule, times in (document.get("redactions") or {}).items():
        yield (f"{times:,}", rule)


def _left_out(manifest: Manifest) -> Iterator[tuple[str, ...]]:
    for row in manifest.left_out:
        yield (row.group, row.reason, row.path)


def _failures(manifest: Manifest) -> Iterator[tuple[str, ...]]:
    for row in manifest.failures:
        yield (row.what, row.code, row.message)


def _plugin(row: Mapping[str, Any]) -> tuple[str, ...]:
    failed = "; ".join(f"{each['hook']}: {each['error']}" for each in row["failures"])
    state = "timed out" if row["timed_out"] else "disabled" if row["disabled"] else "works"
    took = row["seconds"]
    seconds = f"{took:.3f}" if isinstance(took, float) else str(took)
    return (row["name"], row["version"], seconds, failed or state)


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    words = {None: "-", True: "yes", False: "no"}
    for row in document["entries"]:
        value = row["value"]
        shown = words[value] if value is None or isinstance(value, bool) else str(value)
        process = row.get("process")
        owner = "-" if process is None else str(process)
        yield (owner, row["plugin"], row["section"], row["name"], shown)
