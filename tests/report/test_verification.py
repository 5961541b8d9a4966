import gzip
import io
import json
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endoscope_report import manifest, verification
from endoscope_report.byte_stream import ByteStream, DamageError
from endoscope_report.verification import Verdict, verify


@pytest.fixture
def verified(tmp_path):
    def verified(content):
        (tmp_path / "x").write_bytes(content)
        return verify(tmp_path / "x")

    return verified


def codes(found):
    return {problem.code for problem in found.problems}


@pytest.mark.parametrize("pack", ["gzip", "zstd", None])
def test_a_whole_archive(build, verified, pack):
    tar = build.archive()
    found = verified(getattr(build, pack)(tar) if pack else tar)
    assert (found.verdict, found.problems) == (Verdict.WHOLE, ())
    assert found.members == 4
    assert found.bytes == sum(map(len, build.FILES.values())) + len(b"for a person\n")


def test_several_gzip_members_and_zstd_frames(build, verified):
    tar = build.archive()
    halves = tar[:3000], tar[3000:]
    assert verified(b"".join(map(build.gzip, halves))).verdict is Verdict.WHOLE
    assert verified(b"".join(map(build.zstd, halves))).verdict is Verdict.WHOLE


def test_names_that_are_no_text(build, verified):
    assert verified(build.archive({"memory/\udcff.prof": b"x"})).verdict is Verdict.WHOLE


def test_what_the_manifest_tells_is_no_fault_of_the_archive(build, verified):
    def change(document):
        document["members"][0]["truncated"] = True
        row = {"plugin": "memory", "message": "boom"}
        document["failures"] = [
            {**row, "path": "config/shop.yaml", "code": "cut"},
            {**row, "path": "memory/y", "code": "no_code_of_today"},
        ]
        document["left_out"] = [{"path": "z", "plugin": "x", "group": "y"}]

    found = verified(build.archive(change=change))
    assert (found.verdict, found.problems) == (Verdict.GAPS, ())
    assert found.manifest.gaps() == "1 failed, 1 cut, 1 not asked for"
    assert found.failures == 2


# --- what is wrong in it -------------------------------------------------------------------------


def row_change(**fields):
    return lambda document: document["members"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (row_change(sha256="0" * 64), "wrong_sha256"),
        (row_change(bytes=1), "wrong_size"),
        (row_change(path="config/other"), "missing"),
        (row_change(path="config/other"), "not_named"),
        (lambda document: document["members"].pop(), "not_named"),
        (lambda document: document.pop("pid"), "manifest"),
    ],
)
def test_what_the_manifest_says_otherwise(build, verified, change, code):
    found = verified(build.archive(change=change))
    assert found.verdict is Verdict.DAMAGED
    assert code in codes(found)
    assert all(problem.remedy for problem in found.problems)


@pytest.mark.parametrize(
    "path", ["../evil", "/etc/evil", "a/../../evil", "a//b", "./a", "a/", "x" * 300, "a/\0b"]
)
def test_paths_that_lead_elsewhere(build, verified, path):
    found = verified(build.archive(extra=[(path, b"x")] if "\0" not in path else nul_name(path)))
    assert found.verdict is Verdict.UNSAFE
    assert "unsafe_path" in codes(found)


def nul_name(path):
    """Return a long name with a NUL in it, which ends a short one."""
    long = {"type": tarfile.GNUTYPE_LONGNAME}
    return [("././@LongLink", path.encode() + b"\0", long), ("a", b"x")]


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.DIRTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.GNUTYPE_LONGLINK,
        b"Z",
    ],
)
def test_what_is_no_regular_file(build, verified, kind):
    found = verified(build.archive(extra=[("x", b"", {"type": kind, "linkname": "/etc/passwd"})]))
    assert found.verdict is Verdict.UNSAFE
    assert "not_regular" in codes(found)


@pytest.mark.parametrize("path", ["config/shop.yaml", "manifest.txt"])
def test_two_files_of_one_path(build, verified, path):
    found = verified(build.archive(extra=[(path, b"other")]))
    assert (found.verdict, codes(found)) == (Verdict.UNSAFE, {"duplicate_path"})


def test_a_file_that_is_a_folder_too(build, verified):
    found = verified(build.archive({"a": b"1", "a/b/c": b"2"}))
    assert (found.verdict, codes(found)) == (Verdict.UNSAFE, {"path_clash"})


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"a/X": b"", "a/x": b""}, "lookalike"),
        ({"caf\u00e9": b"", "cafe\u0301": b""}, "lookalike"),
        ({"memory/con.prof": b""}, "unportable"),
    ],
)
def test_what_is_safe_here_and_not_everywhere_is_a_warning(build, verified, files, code):
    found = verified(build.archive(files))
    assert (found.verdict, codes(found)) == (Verdict.WHOLE, {code})


@pytest.mark.parametrize(
    "fields", [{"mode": 0o4755}, {"uid": 7}, {"gid": 7}, {"uname": "root"}, {"gname": "x"}]
)
def test_a_mode_or_owner_that_export_does_not_write_is_a_warning(build, verified, fields):
    files = {"a": b"1", "manifest.txt": b"x"}
    document = json.dumps(build.manifest(files)).encode()
    tar = build.tar(("a", b"1", fields), ("manifest.txt", b"x"), ("manifest.json", document))
    found = verified(tar)
    assert (found.verdict, codes(found)) == (Verdict.WHOLE, {"mode_or_owner"})


def test_a_gzip_header_of_another_program_is_a_warning(build, verified):
    found = verified(gzip.compress(build.archive()))
    assert (found.verdict, codes(found)) == (Verdict.WHOLE, {"gzip_header"})


def test_a_manifest_that_is_not_the_last(build, verified):
    files = {"a": b"1", "manifest.txt": b"x"}
    document = json.dumps(build.manifest(files)).encode()
    found = verified(build.tar(("manifest.txt", b"x"), ("manifest.json", document), ("a", b"1")))
    assert (found.verdict, codes(found)) == (Verdict.DAMAGED, {"not_last"})


@pytest.mark.parametrize("missing", ["manifest.json", "manifest.txt"])
def test_without_a_manifest_it_is_incomplete(build, verified, missing):
    files = {"a": b"1", "manifest.txt": b"x"}
    document = json.dumps(build.manifest({"a": b"1"})).encode()
    members = {**files, "manifest.json": document}
    del members[missing]
    found = verified(build.tar(*members.items()))
    assert "no_manifest" in codes(found)
    assert found.verdict in {Verdict.INCOMPLETE, Verdict.DAMAGED}
    assert found.verdict is Verdict.INCOMPLETE or missing == "manifest.txt"


@pytest.mark.parametrize("content", [b"", b"hello" * 200, b"\x1f\x8b", b"\x28\xb5\x2f\xfd\x00"])
def test_what_is_no_archive(verified, content):
    assert not verified(content).verdict.is_whole


def test_what_cannot_be_read(tmp_path):
    found = verify(tmp_path / "nothing")
    assert (found.verdict, codes(found)) == (Verdict.UNREADABLE, {"unreadable"})


# --- bounds --------------------------------------------------------------------------------------


def test_a_manifest_that_is_too_large_is_not_read(build, verified, monkeypatch):
    monkeypatch.setattr(manifest, "MOST_BYTES", 100)
    found = verified(build.archive())
    assert (found.verdict, codes(found)) == (Verdict.UNSAFE, {"too_large"})


def test_problems_beyond_counting_are_counted(build, verified, monkeypatch):
    monkeypatch.setattr(verification, "MOST_PROBLEMS", 2)
    extra = [(f"extra{number}", b"") for number in range(5)]
    found = verified(build.archive(extra=extra))
    assert (len(found.problems), found.untold) == (2, 3)
    assert found.verdict is Verdict.DAMAGED


def test_progress_may_end_it(whole):
    def stop(_done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(whole, stop)


# --- whatever happens to an archive --------------------------------------------------------------


def unpacked(packed):
    """Return what comes out of the compression; nothing if it is damaged."""
    try:
        return ByteStream(io.BytesIO(packed)).read(1 << 30)
    except DamageError:
        return b""


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("flipped") / "x"


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_no_changed_byte_is_reported_whole(build, scratch, pack, data):
    """Unless what comes out is the same to the last bit: a compressor may write it in two ways."""
    whole = getattr(build, pack)(build.archive())
    changed = bytearray(whole)
    place = data.draw(st.integers(0, len(whole) - 1))
    changed[place] ^= data.draw(st.integers(1, 255))
    scratch.write_bytes(changed)
    found = verify(scratch)
    assert not found.verdict.is_whole or unpacked(bytes(changed)) == unpacked(whole)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_no_changed_byte_of_a_plain_tar_is_reported_whole(build, scratch, data):
    """But for manifest.json itself, over which there is no checksum but the compression's."""
    whole = build.archive()
    inside = whole.index(b'{\n  "schema"'), whole.rindex(b"}") + 1
    changed = bytearray(whole)
    places = st.integers(0, inside[0] - 1) | st.integers(inside[1], len(whole) - 1)
    changed[data.draw(places)] ^= data.draw(st.integers(1, 255))
    scratch.write_bytes(changed)
    assert not verify(scratch).verdict.is_whole


@pytest.mark.parametrize("pack", ["gzip", "zstd", "tar"])
@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_nothing_cut_off_or_added_is_reported_whole(build, scratch, pack, data):
    tar = build.archive()
    whole = tar if pack == "tar" else getattr(build, pack)(tar)
    end = data.draw(st.integers(0, len(whole) - 1))
    more = data.draw(st.binary(min_size=1, max_size=600))
    scratch.write_bytes(whole[:end])
    assert not verify(scratch).verdict.is_whole
    scratch.write_bytes(whole + more)
    assert not verify(scratch).verdict.is_whole
