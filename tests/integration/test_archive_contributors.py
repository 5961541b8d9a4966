"""Contributors that break every rule: the archive is whole without theirs, and says so."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def hasty(archiving):
    """Run a host that gives each contributor half a second."""
    return archiving(export={"contributor_seconds": 0.5})


@pytest.fixture(scope="module")
def patient(archiving):
    """Run a host with the default settings."""
    return archiving()


# --- contributors --------------------------------------------------------------------------------

HOOKS = {
    "raises": ("raise LookupError('nothing here')", "hook_failed", "LookupError: nothing here"),
    "ends the process": ("raise SystemExit(3)", "hook_failed", "SystemExit: 3"),
    "recurses": ("return members()", "hook_failed", "RecursionError"),
    "returns nonsense": ("return [3]", "hook_failed", "returned int"),
    "returns text": ("return 'nonsense'", "hook_failed", "returned str"),
    "yields half": ("yield member('half', b''); raise OSError(5, 'half')", "hook_failed", "half"),
    "never ends": (
        "while True: yield member('again', b'again')",
        "hook_failed",
        "more than 100000 items",
    ),
    "hangs": ("time.sleep(1)", "timed_out", "no answer within"),
    "wrong fields": ("return [member('a', b'', group=3)]", "hook_failed", "wrong type"),
    "outside": ("return [member('../a', b'')]", "hook_failed", "'../a'"),
}


@pytest.mark.parametrize("kind", HOOKS)
def test_a_hook_that_fails(hasty, kind):
    body, code, message = HOOKS[kind]
    with hasty.unharmed():
        hasty.contribute(f"def members():\n    {body}")
        archive = hasty.archive()
        assert archive.failures == {None: code}
        assert message in archive.messages[None]
        assert archive.has_all_sound()
        assert not [path for path in archive.files if path.startswith("faulty/")]
        assert archive.plugin("faulty")["timed_out"] is (code == "timed_out")


SOURCES = {
    "raises": ("lambda: 1 / 0", "raised", "division by zero"),
    "ends the process": ("lambda: exit(3)", "raised", "3"),
    "hangs": ("lambda: time.sleep(1)", "timed_out", "had used up"),
    "returns a number": ("lambda: 3", "wrong_type", "int"),
    "returns nothing": ("lambda: None", "wrong_type", "NoneType"),
    "returns text": ("lambda: 'text'", "wrong_type", "str"),
    "returns a closed file": ("closed", "wrong_type", "closed file"),
    "returns a directory": ("lambda: Directory()", "not_regular", "a directory"),
    "returns a pipe": ("lambda: Pipe()", "not_regular", "a FIFO"),
    "returns a wrong number": ("lambda: Numbered(10**6)", "wrong_type", "Bad file descriptor"),
    "returns a lie": ("lambda: Numbered('one')", "wrong_type", "str"),
    "is a number": ("3", "wrong_type", "int"),
    "is a name": ("'/etc/hostname'", "wrong_type", "str"),
    "is a name with a NUL": ("Path('a\\0b')", "unreadable", "null byte"),
}

CALLED = """
class Numbered:
    def __init__(self, number):
        self.number = number
    def fileno(self):
        return self.number

class Directory(Numbered):
    def __init__(self):
        super().__init__(os.open("/", os.O_RDONLY))
    def close(self):
        os.close(self.number)

class Pipe(Numbered):
    def __init__(self):
        self.number, other = os.pipe()
        os.close(other)
    close = Directory.close

def closed():
    file = open("/etc/hostname", "rb")
    file.close()
    return file

def members():
    return [member("before", lambda: b"before"), member("called", {source})]
"""


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_that_fails(hasty, kind):
    source, code, message = SOURCES[kind]
    with hasty.unharmed():
        hasty.contribute(CALLED.format(source=source))
        archive = hasty.archive()
        assert archive.failures == {"faulty/called": code}
        assert message in archive.messages["faulty/called"]
        assert archive.files["faulty/before"] == b"before"
        assert archive.has_all_sound()


def test_what_comes_too_late_is_closed(hasty):
    with hasty.unharmed():
        hasty.contribute("""
            def late():
                time.sleep(1)
                return open("/etc/hostname", "rb")

            def members():
                return [member("late", late)]
        """)
        assert hasty.archive().failures == {"faulty/late": "timed_out"}


def test_time_that_is_used_up_ends_the_calls_and_not_the_files(hasty):
    with hasty.unharmed():
        hasty.contribute("""
            def members():
                waits = [member(f"{n}", lambda: time.sleep(0.2) or b"made") for n in range(6)]
                return [*waits, member("log", folder / "log")]
        """)
        (hasty.files / "log").write_bytes(b"read at once")
        archive = hasty.archive()
        made = [path for path in archive.files if path.startswith("faulty/")]
        assert made == ["faulty/0", "faulty/1", "faulty/log"]
        assert archive.failures == {f"faulty/{n}": "timed_out" for n in range(2, 6)}
        assert archive.has_all_sound()


def test_paths_that_two_members_claim(hasty):
    with hasty.unharmed():
        hasty.contribute("""
            def members():
                twice = [member("twice", b"first"), member("twice", b"second")]
                return [*twice, member("twice/below", b"third"), member("once", b"once")]
        """)
        archive = hasty.archive()
        assert archive.files["faulty/twice"] == b"first"
        assert archive.files["faulty/once"] == b"once"
        codes = {"faulty/twice": "duplicate_path", "faulty/twice/below": "duplicate_path"}
        assert archive.failures == codes


def test_a_manifest_entry_that_no_manifest_can_hold(hasty):
    with hasty.unharmed():
        hasty.contribute("""
            from endoscope import ManifestEntry
            members = list
            def entries():
                yield ManifestEntry("faulty", "fine", 1)
                yield ManifestEntry("faulty", "none", float("nan"))
                yield 3
        """)
        archive = hasty.archive()
        told = [row["name"] for row in archive.manifest["entries"] if row["plugin"] == "faulty"]
        assert told == ["fine"]
        assert archive.has_all_sound()
        rows = archive.manifest["failures"]
        assert sorted(row["code"] for row in rows) == ["hook_failed", "wrong_type"]


def test_two_hundred_megabytes_in_memory(patient):
    with patient.unharmed():
        patient.contribute("""
            def members():
                return [member("flood", b"%0199d\\n" % 0 * (1 << 20))]
        """)
        archive = patient.archive()
        assert archive.failures == {}
        assert len(archive.files["faulty/flood"]) == 200 << 20


def test_a_contributor_that_always_hangs_costs_the_others_nothing(archiving):
    """Its abandoned threads must not use up those that the others are asked on."""
    host = archiving(export={"contributor_seconds": 0.1})
    host.contribute("""
        def members():
            while not (folder / "enough").exists():
                time.sleep(0.05)
            return []
    """)
    for _ in range(20):
        archive = host.archive()
        assert archive.failures == {None: "timed_out"}
        assert archive.has_all_sound()
    assert host.threads() <= host.most_threads + 8  # so many are replaced
    (host.files / "enough").touch()
