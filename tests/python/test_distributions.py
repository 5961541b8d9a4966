import importlib.metadata
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from endoscope_python import distributions
from endoscope_python.distributions import Distribution

METADATA = "Metadata-Version: 2.1\nName: shop\nVersion: 1.2.post1\n\nName: body\n"


def install(folder, name, version, direct_url=None):
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n\nText\n")
    if direct_url is not None:
        (place / "direct_url.json").write_text(json.dumps(direct_url))


def names_and_versions(found):
    return {each.key: each.version for each in found}


def test_what_is_found_is_what_importlib_finds():
    expected = {}
    for each in importlib.metadata.distributions():
        expected.setdefault(Distribution(each.name, each.version).key, each.version)
    assert names_and_versions(distributions.installed(sys.path)) == expected


def test_every_line_is_one_that_pip_reads():
    lines = distributions.requirements().decode().splitlines()
    assert lines
    for line in lines:
        requirement, _, comment = line.removeprefix("-e ").partition("  # ")
        if line.startswith("-e "):
            assert requirement.startswith("file:///")
            requirement = comment
        assert Requirement(requirement).name


def test_lines_by_origin():
    assert Distribution("a", "1").requirement == "a==1"
    assert Distribution("a", "1", "file:///a", True).requirement == "-e file:///a  # a==1"
    assert Distribution("a", "1", "https://x/a.whl").requirement == "a @ https://x/a.whl  # 1"


def test_lines_are_in_order_and_the_first_of_a_name_counts(tmp_path, monkeypatch):
    install(tmp_path / "one", "Zoo", "1")
    install(tmp_path / "one", "my_shop", "2")
    install(tmp_path / "two", "My.Shop", "3")
    install(tmp_path / "two", "apple", "4")
    path = [str(tmp_path / name) for name in ("one", "two", "absent")]
    monkeypatch.setattr(sys, "path", [*path, object()])
    assert distributions.requirements() == b"apple==4\nmy_shop==2\nZoo==1\n"


def test_an_egg_info_is_a_folder_or_a_file(tmp_path):
    (tmp_path / "a.egg-info").mkdir()
    (tmp_path / "a.egg-info" / "PKG-INFO").write_text("Name: a\nVersion: 1\n")
    (tmp_path / "b-2.egg-info").write_text("Name: b\nVersion: 2\n")
    (tmp_path / "c-3.dist-info").mkdir()
    assert names_and_versions(distributions.installed([str(tmp_path)])) == {"a": "1", "b": "2"}


def test_where_a_distribution_is_from(tmp_path):
    install(tmp_path, "local", "1", {"url": "file:///src", "dir_info": {"editable": True}})
    vcs = {"vcs": "git", "commit_id": "abc", "requested_revision": "main"}
    install(tmp_path, "pinned", "2", {"url": "https://u:secret@host/r.git", "vcs_info": vcs})
    found = {each.name: each for each in distributions.installed([str(tmp_path)])}
    assert found["local"] == Distribution("local", "1", "file:///src", True)
    assert found["pinned"].url == "git+https://host/r.git@abc"


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://token@host:8443/p?q#f", "https://host:8443/p?q#f"),
        ("https://u:p@ss@host/p", "https://host/p"),
        ("file:///a/b@c", "file:///a/b@c"),
        ("ssh://git@host/p", "ssh://git@host/p"),
    ],
)
def test_a_url_has_no_user_and_no_password(url, clean):
    assert distributions.without_user(url) == clean


@pytest.mark.parametrize(
    "direct_url",
    [
        "",
        "{",
        "[]",
        "7",
        "[" * 100_000,
        '{"url": 7}',
        '{"url": null}',
        '{"url": "https://[x"}',
        '{"url": "https://host/a b"}',
        '{"url": "https://x", "vcs_info": {"vcs": "git", "commit_id": "1\\nb==2"}}',
    ],
)
def test_a_broken_origin_is_none(direct_url):
    assert distributions.distribution(METADATA, direct_url) == Distribution("shop", "1.2.post1")


@pytest.mark.parametrize(
    "metadata",
    ["", "Name: a\n", "Version: 1\n", "Name: a b\nVersion: 1\n", "Name: a\nVersion: 1; x\n"],
)
def test_without_a_valid_name_and_version_there_is_none(metadata):
    assert distributions.distribution(metadata, "") is None


def test_headers_end_at_the_first_empty_line():
    assert distributions.headers(METADATA.replace("\n", "\r\n"))["name"] == "shop"


@given(st.text(alphabet="NamVersio: 1\n-") | st.text(), st.text(alphabet='{}":[]url,') | st.text())
def test_hostile_text_is_one_line_or_nothing(metadata, direct_url):
    found = distributions.distribution(f"Name: a\n{metadata}\nVersion: 1\n", direct_url)
    if found is not None:
        assert found.requirement.isprintable()
