"""Whether an archive is whole: everything in it is looked at once, while it streams by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from endoscope.errors import EndoscopeError
from endoscope_report import manifest, paths
from endoscope_report.byte_stream import ByteStream, DamageError, opened
from endoscope_report.manifest import MANIFEST_JSON, MANIFEST_TEXT, Manifest, ManifestError
from endoscope_report.tar_reader import Member, TarReader

MOST_PROBLEMS = 1000
"""So many are told one by one; the others are counted."""

_MODE, _OWNER = 0o644, (0, 0, "", "")
_GZIP = b"\x1f\x8b"
# No flags, no time; what follows are the level and the system, as igzip writes them.
_OUR_GZIP = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


class Verdict(Enum):
    """What an archive is. Of several that apply, the first."""

    UNREADABLE = "unreadable"
    UNSAFE = "unsafe"
    DAMAGED = "damaged"
    INCOMPLETE = "incomplete"
    GAPS = "whole, but not everything is in it"
    WHOLE = "whole"

    @property
    def is_whole(self) -> bool:
        """Whether it has everything that its manifest says, and nothing else."""
        return self in {Verdict.GAPS, Verdict.WHOLE}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an archive, at `path` if it is one member.

    `code` is a word for a program; `verdict` is what the archive is for it, None after a warning.
    """

    code: str
    path: str | None
    message: str
    remedy: str
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `members` and their `bytes` are counted without manifest.json.

    `problems` are at most `MOST_PROBLEMS`; `untold` is how many more there are.
    """

    verdict: Verdict
    problems: tuple[Problem, ...] = ()
    untold: int = 0
    members: int = 0
    bytes: int = 0
    manifest: Manifest | None = None

    @property
    def failures(self) -> int:
        """How much should be in the archive, by its own manifest, and is not, or not whole."""
        return len(self.manifest.failed) + len(self.manifest.cut) if self.manifest else 0


_UNTOUCHED = "Do not unpack it: no archive of Endoscope's is like this."
_AGAIN = "Fetch the archive again."
_REPACKED = "Was it packed anew? Ask for the archive as the service sent it."
_ELSEWHERE = "Unpack it on Linux."

_MEANINGS: dict[str, tuple[Verdict | None, str]] = {
    "cut_off": (Verdict.INCOMPLETE, _AGAIN),
    "no_manifest": (Verdict.INCOMPLETE, _AGAIN),
    "duplicate_path": (Verdict.UNSAFE, _UNTOUCHED),
    "not_regular": (Verdict.UNSAFE, _UNTOUCHED),
    "path_clash": (Verdict.UNSAFE, _UNTOUCHED),
    "too_large": (Verdict.UNSAFE, _UNTOUCHED),
    "too_many": (Verdict.UNSAFE, _UNTOUCHED),
    "unsafe_path": (Verdict.UNSAFE, _UNTOUCHED),
    "damaged": (Verdict.DAMAGED, _AGAIN),
    "not_last": (Verdict.DAMAGED, _REPACKED),
    "not_named": (Verdict.DAMAGED, _REPACKED),
    "missing": (Verdict.DAMAGED, _AGAIN),
    "wrong_size": (Verdict.DAMAGED, _AGAIN),
    "wrong_sha256": (Verdict.DAMAGED, _AGAIN),
    "gzip_header": (None, "Was it compressed anew? What is in it is as it was."),
    "lookalike": (None, _ELSEWHERE),
    "mode_or_owner": (None, _REPACKED),
    "unportable": (None, _ELSEWHERE),
}


def verify(path: Path, progress: Callable[[int], None] = lambda _done: None) -> Verification:
    """Look at all of the archive at `path`, `-` for standard input. Never raises for what it is.

    `progress` is told how many bytes of the file are read.
    """
    examination = _Examination()
    try:
        with opened(path, progress) as stream:
            examination.run(stream)
    except DamageError as error:
        examination.stop(error, Verdict.DAMAGED)
    except EndoscopeError as error:
        examination.stop(error, Verdict.UNREADABLE)
    return examination.result()


@dataclass(frozen=True, slots=True)
class _Found:
    """A member as it lies in the archive."""

    bytes: int
    sha256: str


class _Examination:
    """Holds what is known of an archive while it is read; no more than bounds allow."""

    def __init__(self) -> None:
        self._found: dict[str, _Found] = {}
        self._manifest: Manifest | None = None
        self._problems: list[Problem] = []
        self._untold = 0
        self._verdicts: set[Verdict] = set()

    def run(self, stream: ByteStream) -> None:
        """Take down all problems. Raises `DamageError` where nothing more can be read."""
        if stream.beginning.startswith(_GZIP) and not stream.beginning.startswith(_OUR_GZIP):
            self._add("gzip_header", None, "its gzip header is another than Endoscope's")
        reader = TarReader(stream)
        for member, content in reader:
            self._member(member, content)
        reader.finish()
        self._all_paths()
        self._against_manifest()

    def stop(self, error: EndoscopeError, verdict: Verdict) -> None:
        """Take down why the rest of the archive cannot be read."""
        meant, _ = _MEANINGS.get(error.code, (verdict, ""))
        self._keep(Problem(error.code, None, error.message, error.remedy, meant))

    def result(self) -> Verification:
        if self._manifest and self._manifest.gaps():
            self._verdicts.add(Verdict.GAPS)
        counted = [found for path, found in self._found.items() if path != MANIFEST_JSON]
        return Verification(
            verdict=next(each for each in Verdict if each in {*self._verdicts, Verdict.WHOLE}),
            problems=tuple(self._problems),
            untold=self._untold,
            members=len(counted),
            bytes=sum(found.bytes for found in counted),
            manifest=self._manifest,
        )

    # --- one member -------------------------------------------------------------------------

    def _member(self, member: Member, content: Iterator[bytes]) -> None:
        if MANIFEST_JSON in self._found:
            self._add("not_last", member.path, "it comes after manifest.json, which is the last")
        if self._is_fit(member):
            self._header(member)
            self._found[member.path] = self._read(member, content)

    def _is_fit(self, member: Member) -> bool:
        """Say whether a member can be unpacked without harm."""
        path = member.path
        if not member.is_file:
            self._add("not_regular", path, f"it is {member.what}, and not a regular file")
        elif problem := paths.unsafe(path):
            self._add("unsafe_path", path, problem)
        elif path in self._found:
            self._add("duplicate_path", path, "there are two files of this path")
        else:
            return True
        return False

    def _header(self, member: Member) -> None:
        if (member.mode, member.owner) != (_MODE, _OWNER):
            message = f"its mode is {member.mode:04o} and its owner {member.owner[:2]}"
            self._add("mode_or_owner", member.path, f"{message}, and not 0644 and nobody")
        if problem := paths.unportable(member.path):
            self._add("unportable", member.path, problem)

    def _read(self, member: Member, content: Iterator[bytes]) -> _Found:
        if member.path == MANIFEST_JSON:
            return self._read_manifest(member, content)
        digest = hashlib.sha256()
        for piece in content:
            digest.update(piece)
        return _Found(member.size, digest.hexdigest())

    def _read_manifest(self, member: Member, content: Iterator[bytes]) -> _Found:
        try:
            self._manifest = manifest.read(member, content)
        except ManifestError as error:
            self.stop(error, Verdict.DAMAGED)
        return _Found(member.size, "")

    # --- all of them ------------------------------------------------------------------------

    def _all_paths(self) -> None:
        for file, other in paths.clashes(self._found):
            self._add("path_clash", other, f"its folder {file} is a file as well")
        for one, other in paths.lookalikes(self._found):
            self._add("lookalike", other, f"it is the same file as {one} on some systems")
        for name in (MANIFEST_TEXT, MANIFEST_JSON):
            if name not in self._found:
                self._add("no_manifest", name, "it is not there, and without it nobody knows more")

    def _against_manifest(self) -> None:
        if self._manifest is None:
            return
        named = {row.path: row for row in self._manifest.members}
        for path, row in named.items():
            found = self._found.get(path)
            if found is None:
                self._add("missing", path, "the manifest has it, and it is not there")
            elif found.bytes != row.bytes:
                message = f"it has {found.bytes:,} bytes, and by the manifest {row.bytes:,}"
                self._add("wrong_size", path, message)
            elif found.sha256 != row.sha256:
                self._add("wrong_sha256", path, "its SHA-256 is not that of the manifest")
        for path in [each for each in self._found if each not in named and each != MANIFEST_JSON]:
            self._add("not_named", path, "it is there, and the manifest does not name it")

    def _add(self, code: str, path: str | None, message: str) -> None:
        verdict, remedy = _MEANINGS[code]
        self._keep(Problem(code, path, message, remedy, verdict))

    def _keep(self, problem: Problem) -> None:
        if problem.verdict:
            self._verdicts.add(problem.verdict)
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(problem)
        else:
            self._untold += 1
