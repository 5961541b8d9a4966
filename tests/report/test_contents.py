import pytest

from endoscope.errors import EndoscopeError
from endoscope_report.contents import contents_of


def test_members_and_manifest(build, whole):
    found = contents_of(whole)
    assert [each.path for each in found.members] == [
        *build.FILES,
        "manifest.txt",
        "manifest.json",
    ]
    assert found.manifest.document["service_name"] == "shop"
    assert found.trouble == ""


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_one_that_is_cut_off_gives_what_it_has(build, tmp_path, pack):
    packed = getattr(build, pack)(build.archive({f"x/{n}": bytes(900) for n in range(9)}))
    (tmp_path / "x").write_bytes(packed[:-2])
    found = contents_of(tmp_path / "x")
    assert "before its end" in found.trouble
    assert len(found.members) >= 9


def test_one_without_manifest(build, tmp_path):
    (tmp_path / "x").write_bytes(build.tar(("a", b"1")))
    found = contents_of(tmp_path / "x")
    assert ([each.path for each in found.members], found.manifest) == (["a"], None)


def test_a_manifest_that_is_none_is_the_trouble(build, tmp_path):
    (tmp_path / "x").write_bytes(build.tar(("manifest.json", b"{}")))
    found = contents_of(tmp_path / "x")
    assert found.manifest is None
    assert "schema" in found.trouble


def test_what_is_no_archive_is_an_error(tmp_path):
    (tmp_path / "x").write_bytes(b"hello" * 1000)
    with pytest.raises(EndoscopeError, match="no tar archive") as caught:
        contents_of(tmp_path / "x")
    assert "right file" in caught.value.remedy
    with pytest.raises(EndoscopeError, match="No such file"):
        contents_of(tmp_path / "y")
