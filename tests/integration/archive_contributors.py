"""What runs inside the hosts of the archive's tests: the host's own work, and two contributors."""

from __future__ import annotations

import itertools
import os
import runpy
import signal
import sys
import time
from pathlib import Path

from endoscope import ArchiveMember, ManifestEntry, Plugin, hookimpl


class SoundPlugin(Plugin):
    """Breaks no rule: what it contributes must be in every archive."""

    @hookimpl
    def endoscope_archive_members(self):
        return [
            ArchiveMember("bytes.txt", b"sound bytes\n", "sound"),
            ArchiveMember("called.txt", lambda: b"sound call\n", "sound"),
            ArchiveMember("file.log", _base() / "sound.log", "sound"),
        ]

    @hookimpl
    def endoscope_manifest_entries(self):
        return [ManifestEntry("sound", "fact", "told")]


class FaultyPlugin(Plugin):
    """Contributes what a test has written: `members()`, and `entries()` if there is one."""

    @hookimpl
    def endoscope_archive_members(self):
        return _written()["members"]()

    @hookimpl
    def endoscope_manifest_entries(self):
        return _written().get("entries", list)()


def _base():
    return Path(os.environ["CONTRIBUTED"])


def _written():
    folder = _base() / "files"
    known = {"folder": folder, "member": _member, "Path": Path, "os": os, "time": time}
    return runpy.run_path(str(_base() / "members.py"), known)


def _member(path, source, group="faulty", **flags):
    return ArchiveMember(path, source, group, **flags)


def main(counter):
    """Count until SIGTERM comes: work that must go on, whatever becomes of an archive."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with open(counter, "wb", buffering=0) as file:
        for number in itertools.count():
            os.pwrite(file.fileno(), b"%d" % number, 0)
            time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1])
