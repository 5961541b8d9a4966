"""A host that archives are taken out of, and what can be seen of it from outside."""

import base64
import contextlib
import gzip
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import socket
import tarfile
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import zstandard

CONTRIBUTORS = Path(__file__).with_name("archive_contributors.py")
MEETING = re.compile(r"/run/[0-9a-f]{12}/[^/]+$")
KEPT = re.compile(r"/export/[0-9a-f]{64}-[0-9a-f]{64}-[0-9]+\.gz$")
NOBODY = "def members(): return []"
SOUND_LOG = b"a sound line\n" * 100
SOUND = {
    "sound/bytes.txt": b"sound bytes\n",
    "sound/called.txt": b"sound call\n",
    "sound/file.log": SOUND_LOG,
}
# The host's one thread, the server's, the one that attends to other processes, and the workers
# there may be: for authentication, requests, contributors and streams.
MOST_THREADS = 1 + 1 + 1 + 4 + 8 + 8 + 8


@dataclass(frozen=True)
class Archive:
    """An archive that was downloaded, whole. `files` are in its order."""

    data: bytes
    files: Mapping[str, bytes]

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Unpack in memory; fail unless the manifest is there and right about every file."""
        with tarfile.open(
            fileobj=io.BytesIO(tar_of(data)), encoding="utf-8", errors="surrogateescape"
        ) as opened:
            files = {member.name: opened.extractfile(member).read() for member in opened}
        archive = cls(data, files)
        assert list(files)[-1] == "manifest.json"
        for path, row in archive.rows.items():
            assert row["bytes"] == len(files[path]), path
            assert row["sha256"] == hashlib.sha256(files[path]).hexdigest(), path
        assert set(files) == {*archive.rows, "manifest.json"}
        return archive

    @cached_property
    def manifest(self) -> Any:
        return json.loads(self.files["manifest.json"])

    @cached_property
    def rows(self) -> Mapping[str, Any]:
        return {row["path"]: row for row in self.manifest["members"]}

    @property
    def failures(self) -> dict[str | None, str]:
        """Codes by path; of a plugin's own failure the path is None."""
        return {row["path"]: row["code"] for row in self.manifest["failures"]}

    @property
    def messages(self) -> dict[str | None, str]:
        return {row["path"]: row["message"] for row in self.manifest["failures"]}

    def plugin(self, name: str) -> Any:
        return next(row for row in self.manifest["plugins"] if row["name"] == name)

    def has_all_sound(self) -> bool:
        """Tell whether everything of the contributor that breaks no rule is in it."""
        facts = {row["name"] for row in self.manifest["entries"] if row["plugin"] == "sound"}
        return SOUND.items() <= self.files.items() and facts == {"fact"}


def tar_of(data: bytes) -> bytes:
    """Return an archive decompressed, of either format."""
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            return bytes(reader.read())
    return gzip.decompress(data)


@dataclass(frozen=True)
class ArchiveHost:
    """A running host, in `base` what it runs on. `files` is the faulty contributor's folder."""

    host: Any
    base: Path
    wait_for: Any

    @property
    def files(self) -> Path:
        return self.base / "files"

    def contribute(self, text: str = NOBODY) -> None:
        """Empty `files`, and let `text` be what the faulty contributor does from now on.

        It knows `folder` (`files`), `member(path, source, **flags)`, `Path`, `os` and `time`.
        """
        shutil.rmtree(self.files, ignore_errors=True)
        self.files.mkdir()
        (self.base / "members.py").write_text(textwrap.dedent(text))

    def archive(self, query: str = "without=binary") -> Archive:
        """Download an archive and look into it."""
        answer = self.ask(query)
        assert answer.status == 200, answer.body
        return Archive.read(answer.body)

    def read(self, data: bytes) -> Archive:
        """Look into an archive that was downloaded by other means."""
        return Archive.read(data)

    def tar_of(self, data: bytes) -> bytes:
        """Return an archive of either format decompressed."""
        return tar_of(data)

    def ask(self, query: str, method: str = "GET") -> Any:
        return self.host.ask(method, f"/export?{query}", self.headers)

    @contextlib.contextmanager
    def download(
        self, query: str = "without=binary", method: str = "GET"
    ) -> Iterator[http.client.HTTPResponse]:
        """Begin a download and hand out the response, its body still to be read."""
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, f"/diagnostics/export?{query}", headers=self.headers)
            # It holds the socket from here on: the server was asked to close the connection.
            with connection.getresponse() as response:
                yield response

    def connect(self, receive_bytes: int = 65536) -> http.client.HTTPConnection:
        """Connect as a client that takes no more ahead than it must."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(30)
        client.connect(("127.0.0.1", self.host.port))
        connection = http.client.HTTPConnection("127.0.0.1", self.host.port)
        connection.sock = client
        return connection

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of a client that does not come back on the same connection."""
        secret = base64.b64encode(self.host.secret.encode()).decode()
        return {"Authorization": f"Bearer {secret}", "Connection": "close"}

    most_threads = MOST_THREADS

    # --- what is seen from outside ---------------------------------------------------------

    def descriptors(self) -> Counter[str]:
        """Return what the host has open, and how often; sockets and pipes without a number."""
        found: Counter[str] = Counter()
        folder = f"/proc/{self.host.pid}/fd"
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(f"{folder}/{name}").removesuffix(" (deleted)")
                found[re.sub(r":\[\d+\]", "", target)] += 1
        return found

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.host.pid}/task"))

    def left(self) -> set[str]:
        """Return the files in the output directory that are not kept on purpose.

        Nor those by which processes find each other.
        """
        return {path for path in self._output() - self.kept() if not MEETING.search(path)}

    def kept(self) -> set[str]:
        """Return the streams that are kept for the next archive."""
        return {path for path in self._output() if KEPT.search(path)}

    def _output(self) -> set[str]:
        return {str(path) for path in self.host.output.rglob("*") if not path.is_dir()}

    def memory_peak(self) -> int:
        """Return how many bytes the host has had in memory at most."""
        status = Path(f"/proc/{self.host.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def counted(self) -> int:
        """Return how far the host's own work has come."""
        return int((self.base / "counter").read_bytes())

    def works(self) -> bool:
        """Tell whether the host's own work goes on."""
        before = self.counted()
        return bool(self.wait_for("the host's own work", lambda: self.counted() > before))

    @contextlib.contextmanager
    def unharmed(self) -> Iterator[None]:
        """Fail unless what happens meanwhile leaves nothing behind, and a host that works."""
        open_before, left_before = self.descriptors(), self.left()
        yield
        self.wait_for("descriptors given back", lambda: not self.descriptors() - open_before)
        self.wait_for("files given back", lambda: self.left() <= left_before)
        self.wait_for("threads given back", lambda: self.threads() <= MOST_THREADS)
        assert self.works()
        self.contribute()
        archive = self.archive()
        assert archive.failures == {}
        assert archive.has_all_sound()


def start(
    launcher: Any, base: Path, wait_for: Any, before: str = "", **settings: Any
) -> ArchiveHost:
    """Start a host with both contributors, and with none of the plugins that are not needed.

    `before` are words of a shell that the command begins with.
    """
    site = _site(base)
    (base / "sound.log").write_bytes(SOUND_LOG)
    others = {point.name for point in metadata.entry_points(group="endoscope")}
    settings.setdefault("plugins", {"disabled": sorted(others - {"auth", "export"})})
    variables = f"PYTHONPATH={site} CONTRIBUTED={base}"
    run = f'exec env {variables} {before} python -m endoscope run --config "$CONFIG" -- "$@"'
    words = ["python", "-m", "archive_contributors", base / "counter"]
    host = ArchiveHost(
        launcher.start(words, wrapper=["sh", "-c", run, "sh"], **settings), base, wait_for
    )
    host.contribute()
    host.archive()  # what is imported for the first archive stays
    return host


def _site(base: Path) -> Path:
    """Install the contributors as a distribution of their own."""
    site = base / "site"
    facts = site / "archive_contributors-1.0.dist-info"
    facts.mkdir(parents=True)
    shutil.copy(CONTRIBUTORS, site)
    (facts / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: archive-contributors\nVersion: 1.0\n"
    )
    plugins = [
        f"{name} = archive_contributors:{name.title()}Plugin" for name in ("faulty", "sound")
    ]
    (facts / "entry_points.txt").write_text("\n".join(["[endoscope]", *plugins, ""]))
    return site
